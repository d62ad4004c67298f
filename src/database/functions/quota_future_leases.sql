-- Leases granted in the future of the clock, and for how many milliseconds each is held; at most p_limit. A lease is held
-- for 65 s at least, so the index on hold_until leaves out nearly all others.
CREATE OR REPLACE FUNCTION quota_future_leases(p_limit integer) RETURNS TABLE (lease_id uuid, hold_ms bigint)
LANGUAGE sql STABLE AS $$
  SELECT l.id, quota_ms(l.hold_until) - quota_ms(l.granted_at)
  FROM budget_lease l, (SELECT quota_clock() AS now) c
  WHERE l.hold_until > c.now + interval '70 seconds' AND l.granted_at > c.now + interval '5 seconds'
  ORDER BY l.hold_until LIMIT p_limit
$$;
