-- Removes accounts of limits 35 days after the end of their period, when nothing is leased in them; an account without an
-- end, 35 days after its limit has ended. Then limits that have ended and have no account left. Gives how many accounts went.
-- Rows that others have locked are left for the next time. A settle that comes later makes what it charges.
CREATE OR REPLACE FUNCTION limit_accounts_sweep(p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_before timestamptz := quota_clock() - interval '35 days';
  v_swept integer;
BEGIN
  WITH old AS (
    SELECT a.key_id, a.period FROM budget_account a
    WHERE a.limit_id IS NOT NULL AND a.leased_micro_cents = 0
      AND (a.ends_at < v_before OR a.ends_at = 'infinity' AND NOT EXISTS (
        SELECT FROM quota_limit l WHERE l.id = a.limit_id AND coalesce(l.ended_at, 'infinity') >= v_before))
      AND NOT EXISTS (SELECT FROM budget_lease b WHERE b.key_id = a.key_id AND b.period = a.period)
    ORDER BY a.key_id, a.period LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM budget_account a USING old o WHERE a.key_id = o.key_id AND a.period = o.period RETURNING 1
  )
  SELECT count(*) INTO v_swept FROM gone;
  DELETE FROM quota_limit l WHERE l.ended_at < v_before
    AND NOT EXISTS (SELECT FROM budget_account a WHERE a.limit_id = l.id);
  RETURN v_swept;
END $$;
