-- Closes leases that were granted or renewed in the future of the clock: it was ahead then, and has stepped back since. The caller
-- has seen each of them in the future for its whole hold. What is no longer in the future is left alone.
-- Accounts that are locked are skipped, as in quota_close_expired: next time.
-- What is left in a lease of requests was perhaps used by a replica that is gone: it is spent (docs/adr/0045).
CREATE OR REPLACE FUNCTION quota_close_future_2(p_lease uuid[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_key uuid[];
  v_period text[];
  v_closed integer;
BEGIN
  SELECT array_agg(a.key_id), array_agg(a.period) INTO v_key, v_period FROM (
    SELECT a.key_id, a.period FROM budget_account a
    WHERE (a.key_id, a.period) IN (SELECT l.key_id, l.period FROM budget_lease l WHERE l.id = ANY (p_lease))
    ORDER BY a.key_id, a.period FOR UPDATE SKIP LOCKED) a;
  WITH closed AS (
    DELETE FROM budget_lease l
    WHERE l.id = ANY (p_lease) AND (l.key_id, l.period) IN (SELECT * FROM unnest(v_key, v_period))
      AND coalesce(l.held_from, l.granted_at) > quota_clock() + interval '5 seconds'
    RETURNING l.key_id, l.period, l.granted_micro_cents - l.settled_micro_cents AS open, l.kind
  ), freed AS (
    UPDATE budget_account a SET leased_micro_cents = a.leased_micro_cents - s.open,
      spent_micro_cents = saturating_add(a.spent_micro_cents, s.used)
    FROM (
      SELECT c.key_id, c.period, sum(c.open)::bigint AS open,
        coalesce(sum(c.open) FILTER (WHERE c.kind = 'counted'), 0)::bigint AS used
      FROM closed c GROUP BY c.key_id, c.period
    ) s
    WHERE a.key_id = s.key_id AND a.period = s.period
  )
  SELECT count(*) INTO v_closed FROM closed;
  RETURN v_closed;
END $$;
