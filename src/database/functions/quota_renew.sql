-- Holds what reservations have for longer: `e_ttl` seconds and 5 from now, never less than before, and never beyond 24 hours
-- from the grant. One that was granted or renewed while the clock was ahead is held from now for as long as it was held then,
-- or for longer: nothing names it as from the future any more, once it is renewed. Nothing is tested for room: it is held already. Under the locks of the accounts, so that it is before or
-- after a settle and never between (docs/adr/0046). `h_` are the leases of each reservation. Those of amounts that are held
-- beside slots are marked by `h_beside`: they move with the slots where they are the reservation's own and are still there. One that
-- other reservations share ends by itself, and the call goes on.
-- `ended`: it was settled or released, one of its other leases has been closed, or 24 hours are over; nothing moves. `pooled`: it
-- draws from a lease that other reservations share. Gives the instant until which it is held for its caller; null where it was not renewed.
CREATE OR REPLACE FUNCTION quota_renew(
  e_key uuid[], e_reservation uuid[], e_ttl integer[], h_event integer[], h_lease uuid[], h_beside boolean[]
)
RETURNS TABLE (event integer, outcome text, until_ms bigint) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_count integer := cardinality(e_key);
  v_now timestamptz;
  v_outcome text[] := array_fill('renewed'::text, ARRAY[v_count]);
  v_until timestamptz[] := array_fill(NULL::timestamptz, ARRAY[v_count]);
  v_row record;
BEGIN
  -- In the order in which a statement that books usage locks them: those of calls in flight last.
  PERFORM FROM budget_account a LEFT JOIN quota_limit q ON q.id = a.limit_id
    WHERE (a.key_id, a.period) IN (SELECT l.key_id, l.period FROM budget_lease l WHERE l.id = ANY (h_lease))
    ORDER BY coalesce(q.unit = 'slots', false), a.key_id, a.period FOR UPDATE OF a;
  v_now := quota_clock();
  FOR v_row IN
    SELECT h.event, l.id, l.kind, l.granted_micro_cents > l.settled_micro_cents
        AND v_now < greatest(l.hold_until, l.granted_at + interval '24 hours') AS is_open
    FROM unnest(h_event, h_lease, h_beside) AS h(event, lease, beside) LEFT JOIN budget_lease l ON l.id = h.lease
    WHERE NOT h.beside
  LOOP
    IF v_row.id IS NULL OR NOT v_row.is_open THEN v_outcome[v_row.event] := 'ended';
    ELSIF v_row.kind <> 'own' AND v_outcome[v_row.event] <> 'ended' THEN v_outcome[v_row.event] := 'pooled';
    END IF;
  END LOOP;
  FOR v_row IN
    SELECT e.n FROM unnest(e_key, e_reservation) WITH ORDINALITY AS e(key, reservation, n)
    WHERE EXISTS (SELECT FROM reservation_end r WHERE r.key_id = e.key AND r.reservation_id = e.reservation)
  LOOP
    v_outcome[v_row.n] := 'ended';
  END LOOP;
  WITH renewed AS (
    UPDATE budget_lease l SET held_from = v_now,
      hold_until = CASE WHEN coalesce(l.held_from, l.granted_at) > v_now + interval '5 seconds'
        THEN v_now + greatest(interval '5 seconds' + make_interval(secs => h.ttl), l.hold_until - coalesce(l.held_from, l.granted_at))
        ELSE greatest(l.hold_until, least(l.granted_at + interval '24 hours', v_now + interval '5 seconds' + make_interval(secs => h.ttl)))
      END
    FROM (
      SELECT u.lease, max(e_ttl[u.event]) AS ttl FROM unnest(h_event, h_lease) AS u(event, lease)
      WHERE v_outcome[u.event] = 'renewed' GROUP BY u.lease
    ) h
    WHERE l.id = h.lease AND l.kind = 'own'
    RETURNING l.id, l.hold_until
  ), held AS (
    SELECT u.event, min(r.hold_until) AS until FROM unnest(h_event, h_lease) AS u(event, lease) JOIN renewed r ON r.id = u.lease
    GROUP BY u.event
  )
  SELECT array_agg(coalesce(h.until - interval '5 seconds', v_now + make_interval(secs => e.ttl)) ORDER BY e.n) INTO v_until
    FROM unnest(e_ttl) WITH ORDINALITY AS e(ttl, n) LEFT JOIN held h ON h.event = e.n;
  RETURN QUERY SELECT e.n::integer, e.outcome, CASE WHEN e.outcome = 'renewed' THEN quota_ms(e.until) END
    FROM unnest(v_outcome, v_until) WITH ORDINALITY AS e(outcome, until, n) ORDER BY e.n;
END $$;
