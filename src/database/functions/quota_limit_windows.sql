-- The windows of limits that keys share: as `quota_windows_3`, of which it is one call, with the amounts that the rules have.
-- p_key are accounts, sorted and each once, with their limits and members; p_asks says how many asks each has.
--
-- Gives what `quota_windows_3` gives, and behind each answer `amount,least`: what is in force, and what is in force whichever
-- override ends; the latter is empty where the limit only observes or has ended, and refuses nothing. Then a verdict is 3 where
-- so much is counted that no more can be: the call passes without permits. Permits end with the override under which they were
-- granted, and none of them stands. Of a limit whose row is gone both are empty.
-- The nil UUID is a limit that has no room for this subject (limit_subjects_note): no window is made, nothing is granted or closed,
-- and `amount` is `full`.
-- Rules are read without a lock: a change of one reaches every replica by the feed, which has it drop what it holds.
CREATE OR REPLACE FUNCTION quota_limit_windows(
  p_live integer, p_relaxed boolean, p_key uuid[], p_limit uuid[], p_member uuid[], p_asks integer[],
  p_window integer[], p_want integer[], p_few integer[], p_count integer[], n_cost integer[],
  c_bucket bigint[], c_granted integer[], c_used integer[]
) RETURNS text LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  -- More than any amount; a sum up to it, and what one more lease adds, is an integer.
  k_most CONSTANT integer := 2000000000;
  k_standing CONSTANT interval := interval '1 hour';
  k_full CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz := quota_clock();
  v_most integer[]; v_few integer[]; v_amount bigint[]; v_least bigint[]; v_ends bigint[];
  v_answer text; v_named uuid[]; v_parts text[] := '{}';
  v_from integer := 1; v_to integer; v_need integer := 0; v_needs integer;
BEGIN
  IF k_full = ANY (p_limit) THEN
    -- One account after the other, in their order.
    FOR k IN 1 .. cardinality(p_key) LOOP
      v_to := v_from + p_asks[k] - 1;
      SELECT sum(c) INTO v_needs FROM unnest(p_count[v_from:v_to]) AS c;
      IF p_limit[k] = k_full THEN
        FOR i IN v_from .. v_to LOOP v_parts := v_parts || concat(repeat('0', p_count[i]), ',0,0,0,0,0,0,full,'); END LOOP;
      ELSE
        v_parts := v_parts || quota_limit_windows(p_live, p_relaxed, p_key[k:k], p_limit[k:k], p_member[k:k], p_asks[k:k],
          p_window[v_from:v_to], p_want[v_from:v_to], p_few[v_from:v_to], p_count[v_from:v_to], n_cost[v_need + 1:v_need + v_needs],
          c_bucket[v_from:v_to], c_granted[v_from:v_to], c_used[v_from:v_to]);
      END IF;
      v_from := v_to + 1;
      v_need := v_need + v_needs;
    END LOOP;
    RETURN array_to_string(v_parts, ';');
  END IF;
  SELECT array_agg(coalesce(r.amount, k_most)::integer ORDER BY r.ask), array_agg(r.few ORDER BY r.ask), array_agg(r.shown ORDER BY r.ask),
         array_agg(r.least ORDER BY r.ask), array_agg(r.ends_ms ORDER BY r.ask)
    INTO v_most, v_few, v_amount, v_least, v_ends
    FROM (
      SELECT a.ask, CASE WHEN o.until < v_now + k_standing THEN 0 ELSE p_few[a.ask] END AS few,
        coalesce(o.amount, l.amount) AS shown,
        CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN coalesce(o.amount, l.amount) END AS amount,
        CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN least(o.amount, l.amount) END AS least,
        ceil(extract(epoch FROM o.until - v_now) * 1000)::bigint AS ends_ms
      FROM (SELECT row_number() OVER (ORDER BY k.n, g.at) AS ask, k.lim, k.member
              FROM unnest(p_limit, p_member, p_asks) WITH ORDINALITY AS k(lim, member, asks, n)
              CROSS JOIN LATERAL generate_series(1, k.asks) AS g(at)) a
      LEFT JOIN quota_limit l ON l.id = a.lim
      LEFT JOIN quota_limit_override o ON o.limit_id = a.lim AND o.member_id = a.member AND coalesce(o.until, 'infinity') > v_now
    ) r;
  v_answer := quota_windows_3(p_live, p_relaxed, true, p_key, p_asks, p_window, v_most, p_want, v_few, p_count, n_cost,
    c_bucket, c_granted, c_used);
  -- Rows that this call has made. One that another call makes at this moment is named by it.
  SELECT array_agg(u.key_id) INTO v_named FROM (
    SELECT r.key_id FROM rate_window r WHERE r.key_id = ANY(p_key) AND r.limit_id IS NULL ORDER BY r.key_id FOR UPDATE SKIP LOCKED) u;
  IF v_named IS NOT NULL THEN
    UPDATE rate_window r SET limit_id = k.lim, member_id = k.member
      FROM unnest(p_key, p_limit, p_member) AS k(id, lim, member) WHERE r.key_id = k.id AND k.id = ANY(v_named);
  END IF;
  RETURN (
    SELECT string_agg(concat_ws(',',
        CASE WHEN v_least[s.ask] IS NULL THEN translate(f.parts[1], '0', '3') ELSE f.parts[1] END, f.parts[2], f.parts[3],
        least(f.parts[4]::bigint, v_ends[s.ask]), f.parts[5], f.parts[6], f.parts[7], concat(v_amount[s.ask]), concat(v_least[s.ask])),
      ';' ORDER BY s.ask)
    FROM unnest(string_to_array(v_answer, ';')) WITH ORDINALITY AS s(answer, ask)
    CROSS JOIN LATERAL (SELECT string_to_array(s.answer, ',') AS parts) f);
END $$;
