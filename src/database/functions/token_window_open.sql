-- Locks the window of tokens p_id, makes it where p_creates, and brings it up to date: its clock, its epoch, and the buckets that
-- still count. Cells are `bucket << 32 | count`, the oldest first. Gives no row where there is none.
-- A window has a new epoch when it is made, once a crash may have lost grants (its `started` is not that of `quota_epoch`, which
-- PostgreSQL empties with each crash and each promotion), and once its buckets have moved because the clock stepped back.
-- What another epoch gives back is ignored (docs/adr/0056). p_started is what `quota_epoch_now` says: callers ask before they lock the first
-- window, because the first who asks after a crash makes others wait for the commit, and may lock more windows.
CREATE OR REPLACE FUNCTION token_window_open(
  p_id uuid, p_creates boolean, p_limit uuid, p_member uuid, p_started bigint, OUT at_ms bigint, OUT epoch bigint, OUT cells bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
  k_far CONSTANT bigint := 15000;
  k_count CONSTANT bigint := 4294967295;
  k_most CONSTANT bigint := 2000000000;
  v_row_started bigint;
  v_clock bigint;
  v_last bigint;
BEGIN
  -- Again where another makes the row, and where a sweep takes it away then.
  LOOP
    SELECT r.at_ms, r.epoch, r.started, r.minute_cells INTO at_ms, epoch, v_row_started, cells
      FROM rate_window r WHERE r.key_id = p_id FOR UPDATE;
    EXIT WHEN FOUND;
    IF NOT p_creates THEN RETURN; END IF;
    INSERT INTO rate_window AS r (key_id, at_ms, sums, minute_cells, hour_cells, day_cells, limit_id, member_id, epoch)
      VALUES (p_id, quota_ms(quota_clock()), ARRAY[0, 0, 0], '{}', '{}', '{}', p_limit, p_member, token_epoch_new())
      ON CONFLICT DO NOTHING;
  END LOOP;
  IF v_row_started IS DISTINCT FROM p_started THEN
    IF v_row_started IS NOT NULL THEN epoch := token_epoch_new(); END IF;
    UPDATE rate_window r SET started = p_started WHERE r.key_id = p_id;
  END IF;
  v_clock := quota_ms(quota_clock());
  IF at_ms > v_clock + k_far THEN
    v_last := (v_clock + 1000) / 2000;
    SELECT coalesce(array_agg(m.bucket << 32 | m.held ORDER BY m.bucket), '{}') INTO cells
      FROM (SELECT least(c >> 32, v_last) AS bucket, least(sum(c & k_count), k_most)::bigint AS held FROM unnest(cells) AS c GROUP BY 1) m;
    epoch := token_epoch_new();
    at_ms := v_clock;
  END IF;
  at_ms := greatest(at_ms, v_clock);
  WHILE cells[1] >> 32 < at_ms / 2000 - 30 LOOP cells := cells[2:]; END LOOP;
END $$;
