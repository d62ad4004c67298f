-- Writes the amount that is in force into accounts of limits, where it is the overspend constraint. The caller has locked
-- them. What an account holds at that moment may remain (docs/adr/0043, rule 2). A limit that only observes, or has ended,
-- bounds nothing. Other accounts are left alone.
CREATE OR REPLACE FUNCTION limit_accounts_refresh(p_account uuid[], p_period text[]) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now timestamptz := quota_clock();
BEGIN
  UPDATE budget_account a SET limit_micro_cents = r.amount,
    floor_micro_cents = greatest(r.amount, CASE WHEN r.amount IS NOT NULL
      THEN a.spent_micro_cents - a.overdraft_micro_cents + a.leased_micro_cents END)
  FROM (
    SELECT b.key_id, b.period, CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN coalesce(o.amount, l.amount) END AS amount
    FROM (SELECT DISTINCT * FROM unnest(p_account, p_period)) AS w(account, period)
    JOIN budget_account b ON b.key_id = w.account AND b.period = w.period AND b.limit_id IS NOT NULL
    LEFT JOIN quota_limit l ON l.id = b.limit_id
    LEFT JOIN quota_limit_override o ON o.limit_id = b.limit_id AND o.member_id = b.member_id
      AND coalesce(o.until, 'infinity') > v_now
  ) r
  WHERE a.key_id = r.key_id AND a.period = r.period AND a.limit_micro_cents IS DISTINCT FROM r.amount;
END $$;
