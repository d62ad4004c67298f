-- Which limit and member an account of a call of this key is of, when its row is gone: the member is the key, or one of the
-- owners that the key has had. No row: the limit is gone, and there is nothing left to charge. An account that all calls of a
-- limit share has the id of the limit. Other ids are compared with those of limits of the installation and of the owners and
-- projects that the key has had, found by their target: most limits are of other keys.
CREATE OR REPLACE FUNCTION limit_account_named(p_account uuid, p_key uuid) RETURNS TABLE (limit_id uuid, member_id uuid) LANGUAGE sql STABLE AS $$
  SELECT l.id, NULL::uuid FROM quota_limit l WHERE l.id = p_account AND l.each IS NULL
  UNION ALL
  SELECT l.id, m.id
  FROM (
    SELECT 'installation' AS kind, NULL::uuid AS id
    UNION SELECT 'owner', v.owner_id FROM key_version v WHERE v.key_id = p_key
    UNION SELECT 'project', v.project_id FROM key_version v WHERE v.key_id = p_key AND v.project_id IS NOT NULL
  ) t
  CROSS JOIN LATERAL (
    SELECT * FROM quota_limit WHERE target_kind = t.kind AND target_id = t.id AND each IS NOT NULL
    UNION ALL SELECT * FROM quota_limit WHERE t.kind = 'installation' AND target_kind = 'installation' AND target_id IS NULL AND each IS NOT NULL
  ) l
  CROSS JOIN LATERAL (
    SELECT p_key AS id WHERE l.each = 'key'
    UNION ALL SELECT DISTINCT v.owner_id FROM key_version v WHERE l.each = 'owner' AND v.key_id = p_key
  ) m
  WHERE limit_account_id(l.id, m.id) = p_account
$$;
