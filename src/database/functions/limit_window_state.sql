-- What counts in the window of a limit by minute or hour, and until when something of it does; permits in the hands of replicas
-- count as used. p_at and the lists are those of its row, null: there is none. Buckets of standing leases say nothing of what was
-- used, so reset_ms leaves them out, and it is never longer than the window. src/quotas/window-reader.ts says the same of keys.
-- It gives one row, and is declared to give several: PostgreSQL then makes it a part of the statement that asks, which a list of
-- very many windows needs.
CREATE OR REPLACE FUNCTION limit_window_state(p_per text, p_at bigint, p_minute bigint[], p_hour bigint[], p_clock bigint)
RETURNS TABLE (used bigint, reset_ms bigint) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(sum(u.cell & 4294967295), 0)::bigint,
    coalesce(CASE WHEN bool_or(u.cell >> 32 <= s.head + s.near) THEN least(max(s.reach * s.size),
      (max(u.cell >> 32) FILTER (WHERE u.cell >> 32 <= s.head + s.near) + max(s.reach) + 1) * max(s.size) - p_clock) END, 0)::bigint
  FROM (
    SELECT w.size, w.reach, w.near, CASE WHEN p_at > p_clock + 15000 THEN p_clock ELSE greatest(p_at, p_clock) END / w.size AS head,
      CASE p_per WHEN 'minute' THEN p_minute ELSE p_hour END AS cells
    FROM (VALUES ('minute', 2000::bigint, 30::bigint, 8::bigint), ('hour', 60000, 60, 1)) AS w(per, size, reach, near) WHERE w.per = p_per
  ) s
  CROSS JOIN LATERAL unnest(s.cells) AS u(cell)
  WHERE u.cell >> 32 >= s.head - s.reach
$$;
