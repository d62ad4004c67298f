-- Makes the accounts that are missing, empty: each lock of an account writes the amount of its rule into it, so nothing is
-- decided by a copy (docs/adr/0043, rule 3). A limit that is gone makes none. Each account is given with the limit and member
-- that it is of, and the period by the name of its first date.
CREATE OR REPLACE FUNCTION limit_accounts_open(p_account uuid[], p_limit uuid[], p_member uuid[], p_period text[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  PERFORM FROM unnest(p_account, p_limit, p_period) AS w(account, lim, period)
    WHERE w.lim IS NOT NULL AND NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = w.account AND a.period = w.period);
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at)
  SELECT w.account, w.period, l.id, w.member,
    CASE WHEN w.period = 'total' THEN 'infinity' ELSE (w.period::timestamp + ('1 ' || l.per)::interval) AT TIME ZONE l.time_zone END
  FROM (SELECT DISTINCT * FROM unnest(p_account, p_limit, p_member, p_period)) AS w(account, lim, member, period)
  JOIN quota_limit l ON l.id = w.lim
  WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = w.account AND a.period = w.period)
  ORDER BY w.account, w.period COLLATE "C"
  ON CONFLICT DO NOTHING;
END $$;
