-- Closes leases whose hold has ended. Picks without locks, locks what no other process has locked, looks again, closes.
-- Where an account is locked, others are picked instead of its leases: fewer than p_limit are closed only where no more
-- can be closed now, or where most of what has ended belongs to locked accounts. No lock is waited for before the close.
-- The two conditions on time are the caller's watch over this server's clock; its own clock must agree.
-- The watch over a lease that was renewed begins anew when its hold is moved (docs/adr/0046).
-- What is left in a lease of requests was perhaps used by a replica that is gone: it is spent (docs/adr/0045).
CREATE OR REPLACE FUNCTION quota_close_expired_3(p_before timestamptz, p_watched interval, p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_before timestamptz := least(p_before, quota_clock());
  v_leases uuid[];
  v_picked_key uuid[];
  v_picked_period text[];
  v_busy_key uuid[] := '{}';
  v_busy_period text[] := '{}';
  v_found integer;
  v_key uuid[];
  v_period text[];
  v_closed integer;
BEGIN
  FOR v_round IN 1..20 LOOP
    SELECT array_agg(l.id), array_agg(l.key_id), array_agg(l.period) INTO v_leases, v_picked_key, v_picked_period FROM (
      SELECT id, key_id, period FROM budget_lease
      WHERE hold_until < v_before AND hold_until - coalesce(held_from, granted_at) <= p_watched
        AND (key_id, period) NOT IN (SELECT * FROM unnest(v_busy_key, v_busy_period))
      ORDER BY hold_until LIMIT p_limit) l;
    IF v_leases IS NULL THEN RETURN 0; END IF;
    SELECT array_agg(a.key_id), array_agg(a.period) INTO v_key, v_period FROM (
      SELECT a.key_id, a.period FROM budget_account a
      WHERE (a.key_id, a.period) IN (SELECT * FROM unnest(v_picked_key, v_picked_period))
      ORDER BY a.key_id, a.period FOR UPDATE SKIP LOCKED) a;
    v_found := cardinality(v_busy_key);
    SELECT v_busy_key || array_agg(b.key_id), v_busy_period || array_agg(b.period) INTO v_busy_key, v_busy_period FROM (
      SELECT * FROM unnest(v_picked_key, v_picked_period) AS p (key_id, period)
      EXCEPT SELECT * FROM unnest(v_key, v_period)) b;
    EXIT WHEN cardinality(v_busy_key) = v_found;
  END LOOP;
  WITH closed AS (
    DELETE FROM budget_lease l
    WHERE l.id = ANY (v_leases) AND (l.key_id, l.period) IN (SELECT * FROM unnest(v_key, v_period))
      AND l.hold_until < v_before AND l.hold_until - coalesce(l.held_from, l.granted_at) <= p_watched
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
