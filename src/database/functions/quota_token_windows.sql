-- The windows of limits of tokens by minute: as `quota_limit_windows`, with permits that weigh (docs/adr/0056). p_key are accounts,
-- sorted and each once, with their limits and members; p_asks says how many asks each has. n_cost are tokens; 0 asks whether any is
-- left, and is answered 3: granted without permits. A lease lives for one second. What is closed (c_) takes `granted - used` out of
-- its bucket, if the window still has the epoch of the grant, and moves nothing. Where p_creates is false it only closes, in rows
-- that exist.
-- Gives for each ask, in order, `verdicts,permits,bucket,valid_ms,free,reset_ms,retry_ms,amount,least,epoch`, separated by semicolons.
-- A statement without any need waits for no row: its asks are answered with no permits, which are valid for 0 ms.
-- Of the nil UUID as of `quota_limit_windows`: the limit has no room for this subject.
CREATE OR REPLACE FUNCTION quota_token_windows(
  p_live integer, p_relaxed boolean, p_creates boolean, p_key uuid[], p_limit uuid[], p_member uuid[], p_asks integer[],
  p_want integer[], p_count integer[], n_cost integer[], c_bucket bigint[], c_tokens integer[], c_epoch bigint[]
) RETURNS text LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  k_count CONSTANT bigint := 4294967295;
  k_most CONSTANT bigint := 2000000000;
  k_full CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
  k_ahead CONSTANT boolean := p_creates AND cardinality(n_cost) = 0;
  v_started bigint;
  v_out text[] := '{}';
  v_at_ms bigint; v_epoch bigint; v_cells bigint[];
  v_now timestamptz; v_clock bigint; v_amount bigint; v_shown bigint; v_least bigint; v_ends bigint;
  v_sum bigint; v_room bigint; v_left bigint; v_need bigint; v_permits bigint; v_refused bigint; v_seen bigint;
  v_verdicts text; v_bucket bigint; v_reset bigint; v_retry bigint; v_max bigint;
  i integer := 0; n integer := 1;
BEGIN
  IF p_relaxed THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  v_started := quota_epoch_now();
  FOR k IN 1 .. cardinality(p_key) LOOP
    IF p_limit[k] = k_full THEN
      FOR a IN 1 .. p_asks[k] LOOP
        i := i + 1;
        n := n + p_count[i];
        v_out[i] := concat(repeat('0', p_count[i]), ',0,0,0,0,0,0,full,,');
      END LOOP;
      CONTINUE;
    END IF;
    IF k_ahead THEN
      PERFORM FROM rate_window r WHERE r.key_id = p_key[k] FOR UPDATE SKIP LOCKED;
      IF NOT FOUND THEN
        FOR a IN 1 .. p_asks[k] LOOP
          i := i + 1;
          v_out[i] := ',0,0,0,0,0,0,,,';
        END LOOP;
        CONTINUE;
      END IF;
    END IF;
    SELECT w.at_ms, w.epoch, w.cells INTO v_at_ms, v_epoch, v_cells
      FROM token_window_open(p_key[k], p_creates, p_limit[k], p_member[k], v_started) w;
    IF v_at_ms IS NULL THEN
      i := i + p_asks[k];
      CONTINUE;
    END IF;
    v_now := quota_clock();
    v_clock := quota_ms(v_now);
    SELECT coalesce(o.amount, l.amount), CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN coalesce(o.amount, l.amount) END,
           CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN least(o.amount, l.amount) END,
           ceil(extract(epoch FROM o.until - v_now) * 1000)::bigint
      INTO v_shown, v_amount, v_least, v_ends
      FROM quota_limit l
      LEFT JOIN quota_limit_override o ON o.limit_id = l.id AND o.member_id = p_member[k] AND coalesce(o.until, 'infinity') > v_now
      WHERE l.id = p_limit[k];
    IF NOT FOUND THEN
      v_shown := NULL; v_amount := NULL; v_least := NULL; v_ends := NULL;
    END IF;
    v_max := coalesce(v_amount, k_most);
    FOR a IN 1 .. p_asks[k] LOOP
      i := i + 1;
      IF c_epoch[i] = v_epoch AND c_bucket[i] >= v_at_ms / 2000 - 30 THEN
        v_cells := token_cells_change(v_cells, c_bucket[i], -c_tokens[i]::bigint);
      END IF;
      SELECT coalesce(sum(c & k_count), 0) INTO v_sum FROM unnest(v_cells) AS c;
      v_room := greatest(0, v_max - v_sum);
      v_left := v_room;
      v_refused := NULL;
      v_verdicts := '';
      FOR need IN n .. n + p_count[i] - 1 LOOP
        IF v_amount IS NULL AND n_cost[need] > v_left OR n_cost[need] = 0 AND (v_left > 0 OR v_amount IS NULL) THEN
          v_verdicts := v_verdicts || '3';
        ELSIF n_cost[need] = 0 OR n_cost[need] > v_left THEN
          v_refused := coalesce(v_refused, n_cost[need]);
          v_verdicts := v_verdicts || '0';
        ELSE
          v_left := v_left - n_cost[need];
          v_verdicts := v_verdicts || '1';
        END IF;
      END LOOP;
      n := n + p_count[i];
      v_need := v_room - v_left;
      v_permits := CASE
        WHEN p_count[i] = 0 THEN CASE WHEN v_room * 8 < v_max THEN 0 ELSE least(p_want[i], v_room / (4 * p_live)) END
        WHEN v_need > 0 AND v_room >= 8 * v_need AND v_room * 50 >= v_max
          THEN greatest(v_need, least(p_want[i], v_room / (4 * p_live)))
        ELSE v_need END;
      v_bucket := (v_at_ms + 1000) / 2000;
      v_cells := token_cells_change(v_cells, v_bucket, v_permits);
      v_sum := v_sum + v_permits;
      v_reset := coalesce(((v_cells[cardinality(v_cells)] >> 32) + 31) * 2000 - v_clock, 0);
      v_retry := 0;
      IF v_refused IS NOT NULL AND v_refused <= v_max THEN
        v_retry := v_reset;
        v_seen := v_max - v_sum;
        FOR at IN 1 .. cardinality(v_cells) LOOP
          v_seen := v_seen + (v_cells[at] & k_count);
          IF v_seen >= greatest(1, v_refused) THEN
            v_retry := ((v_cells[at] >> 32) + 31) * 2000 - v_clock;
            EXIT;
          END IF;
        END LOOP;
      END IF;
      v_out[i] := concat_ws(',', v_verdicts, v_permits, v_bucket, least(1000, v_ends), greatest(0, v_max - v_sum), v_reset, v_retry,
        concat(v_shown), concat(v_least), lpad(to_hex(v_epoch), 16, '0'));
    END LOOP;
    UPDATE rate_window r SET at_ms = v_at_ms, epoch = v_epoch, minute_cells = v_cells, sums = ARRAY[least(v_sum, k_most)::integer, 0, 0]
      WHERE r.key_id = p_key[k];
  END LOOP;
  RETURN array_to_string(v_out, ';');
END $$;
