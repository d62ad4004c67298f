-- What ends of reservations and reports do to windows of tokens, in the transaction that writes their rows. Each place of the lists
-- is a window of one end: p_out are tokens to take out of the bucket that its reservation names, if the window still has that epoch and
-- the bucket still counts; p_in those to add to the present bucket, in a row that is made where there is none. Windows are locked in
-- the order of their ids; callers lock them after everything else.
CREATE OR REPLACE FUNCTION token_windows_end(
  p_account uuid[], p_epoch bigint[], p_bucket bigint[], p_out bigint[], p_in bigint[], p_limit uuid[], p_member uuid[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  k_count CONSTANT bigint := 4294967295;
  k_most CONSTANT bigint := 2000000000;
  v_started CONSTANT bigint := quota_epoch_now();
  v_row record;
  v_at_ms bigint; v_epoch bigint; v_cells bigint[];
BEGIN
  FOR v_row IN
    SELECT a.id, bool_or(a.added > 0) AS creates, (array_agg(a.lim) FILTER (WHERE a.lim IS NOT NULL))[1] AS lim,
           (array_agg(a.member) FILTER (WHERE a.member IS NOT NULL))[1] AS member,
           array_agg(a.epoch) AS epoch, array_agg(a.bucket) AS bucket, array_agg(a.taken) AS taken, array_agg(a.added) AS added
    FROM unnest(p_account, p_epoch, p_bucket, p_out, p_in, p_limit, p_member) AS a(id, epoch, bucket, taken, added, lim, member)
    GROUP BY a.id ORDER BY a.id
  LOOP
    SELECT w.at_ms, w.epoch, w.cells INTO v_at_ms, v_epoch, v_cells
      FROM token_window_open(v_row.id, v_row.creates, v_row.lim, v_row.member, v_started) w;
    CONTINUE WHEN v_at_ms IS NULL;
    FOR i IN 1 .. cardinality(v_row.taken) LOOP
      IF v_row.taken[i] > 0 AND v_row.epoch[i] = v_epoch AND v_row.bucket[i] >= v_at_ms / 2000 - 30 THEN
        v_cells := token_cells_change(v_cells, v_row.bucket[i], -v_row.taken[i]);
      END IF;
      IF v_row.added[i] > 0 THEN v_cells := token_cells_change(v_cells, v_at_ms / 2000, v_row.added[i]); END IF;
    END LOOP;
    UPDATE rate_window r SET at_ms = v_at_ms, epoch = v_epoch, minute_cells = v_cells,
        sums = ARRAY[least((SELECT coalesce(sum(c & k_count), 0) FROM unnest(v_cells) AS c), k_most)::integer, 0, 0]
      WHERE r.key_id = v_row.id;
  END LOOP;
END $$;
