-- Which limit and member an account of a call of this key is of, when its row is gone: the member is the key, one of the
-- owners that the key has had (limit_account_named), or a subject, whose account was noted when it was first used.
CREATE OR REPLACE FUNCTION limit_account_named_2(p_account uuid, p_key uuid) RETURNS TABLE (limit_id uuid, member_id uuid) LANGUAGE sql STABLE AS $$
  SELECT s.limit_id, s.member_id FROM limit_subject s WHERE s.account_id = p_account
  UNION ALL
  SELECT n.limit_id, n.member_id FROM limit_account_named(p_account, p_key) n
  WHERE NOT EXISTS (SELECT FROM limit_subject s WHERE s.account_id = p_account)
$$;
