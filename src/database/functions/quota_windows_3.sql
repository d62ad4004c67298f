-- The windows of many keys: slides, closes previous leases, grants. With p_creates false it only closes, in rows that
-- exist. Keys come sorted and each once, with p_asks asks each; the asks of a key share one read and one write of its row.
--
-- Gives for each ask, in order, `verdicts,permits,bucket,valid_ms,free,reset_ms,retry_ms`, separated by semicolons; a
-- verdict is 1 or 0 for each need. Text, because building and reading rows and arrays cost more than the arithmetic.
--
-- Differs from `quota_windows_2`, which the build before calls, in two ways. An ask without a need (p_count 0) is granted
-- what it wants ahead, but for the last eighth of a limit. Permits that are few for the key (p_few, which the asker
-- computes from all windows of the key; 0: none are), beyond what was needed, are valid for k_standing, while an eighth of the
-- limit is free. They count far ahead, in the bucket of their deadline, which reset_ms and retry_ms leave out. Both functions keep the same
-- lists.
-- A statement without any need waits for no row: of a key whose row is locked, its asks are answered with no permits, which
-- are valid for 0 ms, and nothing of them is done.
-- src/quotas/rate-ring.ts says the same in TypeScript.
CREATE OR REPLACE FUNCTION quota_windows_3(
  p_live integer, p_relaxed boolean, p_creates boolean,
  p_key uuid[], p_asks integer[], p_window integer[], p_limit integer[], p_want integer[], p_few integer[],
  p_count integer[], n_cost integer[], c_bucket bigint[], c_granted integer[], c_used integer[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  k_bucket CONSTANT bigint[] := ARRAY[2000, 60000, 900000];
  k_reach CONSTANT bigint[] := ARRAY[30, 60, 96];
  k_count CONSTANT bigint := 4294967295;
  -- Buckets ahead of the current one in which leases of 15 s may end.
  k_near CONSTANT bigint[] := ARRAY[8, 1, 1];
  k_far CONSTANT bigint := 15000;
  k_standing CONSTANT bigint := 3600000;
  -- Nothing waits for what is asked for: it waits for no one else.
  k_ahead CONSTANT boolean := p_creates AND cardinality(n_cost) = 0;
  v_out text[] := '{}';
  v_clock bigint; v_now bigint; v_sums integer[]; v_minute bigint[]; v_hour bigint[]; v_day bigint[];
  v_size bigint; v_head bigint; v_oldest bigint; v_sum bigint; v_cells bigint[]; v_at integer; v_held bigint;
  v_room bigint; v_left bigint; v_need bigint; v_refused bigint; v_permits bigint; v_verdicts text;
  v_valid bigint; v_bucket bigint; v_retry bigint; v_reset bigint; v_seen bigint;
  w integer; i integer := 0; n integer := 1;
BEGIN
  -- Losing the last half second of counts with a crash is a stated exception; waiting for the disk is not worth it.
  IF p_relaxed THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  FOR k IN 1 .. cardinality(p_key) LOOP
    IF k_ahead THEN
      SELECT r.at_ms, r.sums, r.minute_cells, r.hour_cells, r.day_cells INTO v_now, v_sums, v_minute, v_hour, v_day
        FROM rate_window r WHERE r.key_id = p_key[k] FOR UPDATE SKIP LOCKED;
    ELSE
      SELECT r.at_ms, r.sums, r.minute_cells, r.hour_cells, r.day_cells INTO v_now, v_sums, v_minute, v_hour, v_day
        FROM rate_window r WHERE r.key_id = p_key[k] FOR UPDATE;
    END IF;
    IF NOT FOUND THEN
      IF NOT p_creates THEN
        i := i + p_asks[k];
        CONTINUE;
      END IF;
      INSERT INTO rate_window AS r (key_id, at_ms, sums, minute_cells, hour_cells, day_cells)
        VALUES (p_key[k], quota_ms(quota_clock()), ARRAY[0, 0, 0], '{}', '{}', '{}') ON CONFLICT DO NOTHING;
      IF k_ahead AND NOT FOUND THEN
        FOR a IN 1 .. p_asks[k] LOOP
          i := i + 1;
          v_out[i] := ',0,0,0,0,0,0';
        END LOOP;
        CONTINUE;
      END IF;
      -- Ours, or that of another replica, which came first.
      SELECT r.at_ms, r.sums, r.minute_cells, r.hour_cells, r.day_cells INTO v_now, v_sums, v_minute, v_hour, v_day
        FROM rate_window r WHERE r.key_id = p_key[k] FOR UPDATE;
    END IF;
    -- The clock after the row lock: what is granted may not be dated back by the wait.
    v_clock := quota_ms(quota_clock());
    IF v_now > v_clock + k_far THEN
      -- The clock was ahead when this row was written, and has stepped back since.
      FOR at IN 1 .. 3 LOOP
        v_cells := quota_pull_back_2(CASE at WHEN 1 THEN v_minute WHEN 2 THEN v_hour ELSE v_day END,
          v_now / k_bucket[at] + k_near[at], (v_clock + k_far) / k_bucket[at], (v_clock + k_standing) / k_bucket[at]);
        CASE at WHEN 1 THEN v_minute := v_cells; WHEN 2 THEN v_hour := v_cells; ELSE v_day := v_cells; END CASE;
      END LOOP;
      v_now := v_clock;
    END IF;
    v_now := greatest(v_clock, v_now);
    FOR a IN 1 .. p_asks[k] LOOP
      i := i + 1;
      w := p_window[i];
      v_size := k_bucket[w];
      v_head := v_now / v_size;
      v_oldest := v_head - k_reach[w];
      v_sum := v_sums[w];
      v_cells := CASE w WHEN 1 THEN v_minute WHEN 2 THEN v_hour ELSE v_day END;
      -- slide
      IF v_cells[1] < v_oldest << 32 THEN
        v_at := 1;
        WHILE v_cells[v_at] < v_oldest << 32 LOOP
          v_sum := v_sum - (v_cells[v_at] & k_count);
          v_at := v_at + 1;
        END LOOP;
        v_cells := v_cells[v_at:];
      END IF;
      -- close; a bucket after every deadline is of a lease whose permits were pulled back: they count in full
      IF c_bucket[i] >= v_oldest AND c_bucket[i] <= (v_now + k_standing) / v_size THEN
        v_at := cardinality(v_cells);
        WHILE v_cells[v_at] >> 32 > c_bucket[i] LOOP v_at := v_at - 1; END LOOP;
        -- Fewer than granted: the grant was lost with a crash; others' permits must stay.
        v_held := CASE WHEN v_cells[v_at] >> 32 = c_bucket[i] AND v_cells[v_at] & k_count >= c_granted[i] THEN c_granted[i] ELSE 0 END;
        v_bucket := least(v_head, c_bucket[i]);
        v_sum := v_sum + c_used[i] - v_held;
        IF v_bucket = c_bucket[i] AND v_cells[v_at] >> 32 = v_bucket AND (v_cells[v_at] & k_count) + c_used[i] > v_held THEN
          IF v_held <> c_used[i] THEN v_cells[v_at] := v_cells[v_at] + c_used[i] - v_held; END IF;
        ELSE
          IF v_held > 0 THEN
            v_cells[v_at] := v_cells[v_at] - v_held;
            IF v_cells[v_at] & k_count = 0 THEN v_cells := v_cells[:v_at - 1] || v_cells[v_at + 1:]; END IF;
          END IF;
          IF c_used[i] > 0 THEN
            v_at := cardinality(v_cells);
            WHILE v_cells[v_at] >> 32 > v_bucket LOOP v_at := v_at - 1; END LOOP;
            IF v_cells[v_at] >> 32 = v_bucket THEN
              v_cells[v_at] := v_cells[v_at] + c_used[i];
            ELSE
              v_cells := v_cells[:v_at] || (v_bucket << 32 | c_used[i]) || v_cells[v_at + 1:];
            END IF;
          END IF;
        END IF;
      END IF;
      -- grant
      v_room := greatest(0, p_limit[i] - v_sum);
      v_left := v_room;
      v_refused := NULL;
      v_verdicts := '';
      FOR need IN n .. n + p_count[i] - 1 LOOP
        IF n_cost[need] <= v_left THEN
          v_left := v_left - n_cost[need];
          v_verdicts := v_verdicts || '1';
        ELSE
          v_refused := coalesce(v_refused, n_cost[need]);
          v_verdicts := v_verdicts || '0';
        END IF;
      END LOOP;
      n := n + p_count[i];
      v_need := v_room - v_left;
      v_permits := CASE
        WHEN p_count[i] = 0 THEN CASE WHEN v_room * 8 < p_limit[i] THEN 0 ELSE least(p_want[i], v_room / (4 * p_live)) END
        WHEN v_need > 0 AND v_room >= 8 * v_need AND v_room * 50 >= p_limit[i]
          THEN greatest(v_need, least(p_want[i], v_room / (4 * p_live)))
        ELSE v_need END;
      v_valid := CASE
        WHEN v_permits = v_need THEN 1000
        WHEN v_permits - v_need <= p_few[i] AND v_permits <= 2 * p_few[i] AND (v_room - v_permits) * 8 >= p_limit[i] THEN k_standing
        WHEN v_permits * 8 <= p_limit[i] THEN 15000
        ELSE 1000 END;
      v_bucket := (v_now + v_valid) / v_size;
      IF v_permits > 0 THEN
        v_sum := v_sum + v_permits;
        v_at := cardinality(v_cells);
        WHILE v_cells[v_at] >> 32 > v_bucket LOOP v_at := v_at - 1; END LOOP;
        IF v_cells[v_at] >> 32 = v_bucket THEN
          v_cells[v_at] := v_cells[v_at] + v_permits;
        ELSE
          v_cells := v_cells[:v_at] || (v_bucket << 32 | v_permits) || v_cells[v_at + 1:];
        END IF;
      END IF;
      -- The newest bucket that counts any but permits of standing leases.
      v_at := cardinality(v_cells);
      WHILE v_cells[v_at] >> 32 > v_head + k_near[w] LOOP v_at := v_at - 1; END LOOP;
      v_reset := ((v_cells[v_at] >> 32) + k_reach[w] + 1) * v_size - v_clock;
      v_retry := 0;
      IF v_refused IS NOT NULL AND v_refused <= p_limit[i] THEN
        v_retry := coalesce(v_reset, 1000);
        v_seen := p_limit[i] - v_sum;
        FOR at IN 1 .. v_at LOOP
          v_seen := v_seen + (v_cells[at] & k_count);
          IF v_seen >= v_refused THEN
            v_retry := ((v_cells[at] >> 32) + k_reach[w] + 1) * v_size - v_clock;
            EXIT;
          END IF;
        END LOOP;
      END IF;
      v_out[i] := concat_ws(',', v_verdicts, v_permits, v_bucket, v_valid, greatest(0, p_limit[i] - v_sum),
        coalesce(v_reset, 0), v_retry);
      v_sums[w] := v_sum;
      CASE w WHEN 1 THEN v_minute := v_cells; WHEN 2 THEN v_hour := v_cells; ELSE v_day := v_cells; END CASE;
    END LOOP;
    UPDATE rate_window r SET at_ms = v_now, sums = v_sums, minute_cells = v_minute, hour_cells = v_hour, day_cells = v_day
      WHERE r.key_id = p_key[k];
  END LOOP;
  RETURN array_to_string(v_out, ';');
END $$;
