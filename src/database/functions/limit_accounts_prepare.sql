-- What entries charge to accounts of limits: the holds of such accounts whose entry was settled or released, in the order of
-- entries, and whether an account counts tokens. An account that is missing, because it was swept or is of a new member, is made.
-- `h_limit` and `h_member` name what an account is of, where the caller knows it. Where the limit is gone as well, nothing of it is
-- charged: such a hold is left out, and no other. An account that a sweep takes away after it was seen here is given all the same,
-- and `limit_accounts_charge` finds it missing. The caller has locked accounts of keys, and nothing that comes after them
-- (docs/adr/0051).
CREATE OR REPLACE FUNCTION limit_accounts_prepare(
  e_key uuid[], e_outcome text[],
  h_event integer[], h_account uuid[], h_period text[], h_lease uuid[], h_limit uuid[], h_member uuid[]
) RETURNS TABLE (event integer, account uuid, period text, lease uuid, is_tokens boolean) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  v_row record;
  -- Accounts, and beside each its period, whose limit is gone.
  v_gone uuid[] := '{}'; v_gone_period text[] := '{}';
BEGIN
  PERFORM limit_accounts_open(h_account, h_limit, h_member, h_period);
  FOR v_row IN
    SELECT DISTINCT h.account, h.period COLLATE "C" AS period, e_key[h.event] AS key
    FROM unnest(h_event, h_account, h_period) AS h(event, account, period)
    WHERE e_outcome[h.event] IN ('settled', 'released') AND h.account <> e_key[h.event]
      AND NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = h.account AND a.period = h.period)
    ORDER BY 1, 2
  LOOP
    PERFORM limit_accounts_open(ARRAY[v_row.account], ARRAY[m.limit_id], ARRAY[m.member_id], ARRAY[v_row.period])
      FROM limit_account_named_2(v_row.account, v_row.key) m;
    IF NOT FOUND THEN
      v_gone := v_gone || v_row.account;
      v_gone_period := v_gone_period || v_row.period;
    END IF;
  END LOOP;
  RETURN QUERY
    SELECT h.event, h.account, h.period, h.lease, coalesce(l.unit = 'tokens', false)
    FROM unnest(h_event, h_account, h_period, h_lease) WITH ORDINALITY AS h(event, account, period, lease, n)
    LEFT JOIN budget_account a ON a.key_id = h.account AND a.period = h.period
    LEFT JOIN quota_limit l ON l.id = a.limit_id
    WHERE e_outcome[h.event] IN ('settled', 'released') AND h.account <> e_key[h.event]
      AND NOT EXISTS (SELECT FROM unnest(v_gone, v_gone_period) AS g(account, period) WHERE g.account = h.account AND g.period = h.period)
    ORDER BY h.event, h.n;
END $$;
