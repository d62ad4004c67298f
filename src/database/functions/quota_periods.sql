-- The period of each account at an instant, in their order: that of its limit, or of the budget of a key (`total`, or the
-- month in UTC). A limit that is gone has none.
CREATE OR REPLACE FUNCTION quota_periods(p_type text[], p_limit uuid[], p_at timestamptz)
RETURNS TABLE (n bigint, name text, ends_at timestamptz) LANGUAGE sql STABLE AS $$
  SELECT u.n, p.name, p.ends_at
  FROM unnest(p_type, p_limit) WITH ORDINALITY AS u(type, lim, n)
  LEFT JOIN quota_limit l ON l.id = u.lim
  LEFT JOIN LATERAL limit_period_at(p_at, CASE WHEN u.lim IS NOT NULL THEN l.per WHEN u.type = 'total' THEN 'total' ELSE 'month' END,
    coalesce(l.time_zone, 'UTC')) p ON u.lim IS NULL OR l.id IS NOT NULL
$$;
