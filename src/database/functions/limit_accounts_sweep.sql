-- Removes accounts of limits 35 days after the end of their period, when nothing is leased in them, those that ended first
-- before the others; an account without an end, 35 days after its limit has ended. Gives how many accounts went: fewer than
-- `p_limit` once none is left, and then limits that have ended and have no account go too. Rows that others have locked are
-- left for the next time. A settle that comes later makes what it charges.
CREATE OR REPLACE FUNCTION limit_accounts_sweep(p_limit integer) RETURNS integer LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_before timestamptz := quota_clock() - interval '35 days';
  v_swept integer;
  v_more integer;
BEGIN
  WITH old AS (
    SELECT a.key_id, a.period FROM budget_account a
    WHERE a.limit_id IS NOT NULL AND a.ends_at < v_before AND a.leased_micro_cents = 0
      AND NOT EXISTS (SELECT FROM budget_lease b WHERE b.key_id = a.key_id AND b.period = a.period)
    ORDER BY a.ends_at LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM budget_account a USING old o WHERE a.key_id = o.key_id AND a.period = o.period RETURNING 1
  )
  SELECT count(*) INTO v_swept FROM gone;
  IF v_swept >= p_limit THEN RETURN v_swept; END IF;
  WITH old AS (
    SELECT a.key_id, a.period FROM quota_limit l JOIN budget_account a ON a.limit_id = l.id AND a.period = 'total'
    WHERE l.ended_at < v_before AND a.ends_at = 'infinity' AND a.leased_micro_cents = 0
      AND NOT EXISTS (SELECT FROM budget_lease b WHERE b.key_id = a.key_id AND b.period = a.period)
    LIMIT p_limit - v_swept FOR UPDATE OF a SKIP LOCKED
  ), gone AS (
    DELETE FROM budget_account a USING old o WHERE a.key_id = o.key_id AND a.period = o.period RETURNING 1
  )
  SELECT count(*) INTO v_more FROM gone;
  IF v_swept + v_more < p_limit THEN
    DELETE FROM quota_limit l WHERE l.ended_at < v_before
      AND NOT EXISTS (SELECT FROM budget_account a WHERE a.limit_id = l.id);
  END IF;
  RETURN v_swept + v_more;
END $$;
