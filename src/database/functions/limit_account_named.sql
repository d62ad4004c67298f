-- Which limit and member an account of a call of this key is of, when its row is gone: the member is the key, or one of the
-- owners that the key has had. No row: the limit is gone, and there is nothing left to charge.
CREATE OR REPLACE FUNCTION limit_account_named(p_account uuid, p_key uuid) RETURNS TABLE (limit_id uuid, member_id uuid) LANGUAGE sql STABLE AS $$
  SELECT l.id, m.id FROM quota_limit l
  CROSS JOIN LATERAL (
    SELECT NULL::uuid AS id WHERE l.each IS NULL
    UNION ALL SELECT p_key WHERE l.each = 'key'
    UNION ALL SELECT DISTINCT v.owner_id FROM key_version v WHERE l.each = 'owner' AND v.key_id = p_key
  ) m
  WHERE limit_account_id(l.id, m.id) = p_account
$$;
