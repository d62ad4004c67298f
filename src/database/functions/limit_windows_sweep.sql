-- Removes windows of limits of which nothing counts any more: their newest bucket has left. A row that was written while the clock
-- was ahead stays until the clock has passed it, and what others have locked is left for the next time. Gives how many went.
-- What comes back later for such a row is ignored: it would count in a bucket that has left.
CREATE OR REPLACE FUNCTION limit_windows_sweep(p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := quota_ms(quota_clock());
  v_swept integer;
BEGIN
  WITH old AS (
    SELECT r.key_id FROM rate_window r
    WHERE r.limit_id IS NOT NULL AND r.at_ms < v_now
      AND coalesce(r.minute_cells[cardinality(r.minute_cells)] >> 32, 0) < v_now / 2000 - 30
      AND coalesce(r.hour_cells[cardinality(r.hour_cells)] >> 32, 0) < v_now / 60000 - 60
    ORDER BY r.key_id LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM rate_window r USING old o WHERE r.key_id = o.key_id RETURNING 1
  )
  SELECT count(*) INTO v_swept FROM gone;
  RETURN v_swept;
END $$;
