-- Leases whose hold began in the future of the clock, when they were granted or renewed, and for how many milliseconds each
-- is held; at most p_limit. One whose hold ends within 70 s is left to quota_close_expired_3, so that the index on hold_until
-- leaves out nearly all others.
CREATE OR REPLACE FUNCTION quota_future_leases_2(p_limit integer) RETURNS TABLE (lease_id uuid, hold_ms bigint)
LANGUAGE sql STABLE AS $$
  SELECT l.id, quota_ms(l.hold_until) - quota_ms(coalesce(l.held_from, l.granted_at))
  FROM budget_lease l, (SELECT quota_clock() AS now) c
  WHERE l.hold_until > c.now + interval '70 seconds' AND coalesce(l.held_from, l.granted_at) > c.now + interval '5 seconds'
  ORDER BY l.hold_until LIMIT p_limit
$$;
