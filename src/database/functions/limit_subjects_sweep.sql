-- Forgets subjects, at most `p_limit`, and gives how many. One that has a period goes 105 days after the start of the last one in
-- which it was seen, when it has neither an account nor an amount of its own: accounts are swept 35 days after the end of a period.
-- One of calls in flight goes with its account a day after it was last seen, when it has no call in flight: such an account
-- spends nothing, so it is as good as a new one. One of a window goes two hours after it was last seen, when its window was swept.
-- Their rows are locked first: who uses the account notes the subject before
-- (limit_subjects_note). Rows that others have locked are left for the next time. What counts subjects is locked here by period and
-- then by limit, and there by limit and then by period: no statement there notes subjects of both `total` and `window`.
CREATE OR REPLACE FUNCTION limit_subjects_sweep(p_limit integer) RETURNS integer LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now timestamptz := quota_clock();
  v_kind record;
  v_idle uuid[];
  v_swept integer;
  v_more integer;
BEGIN
  WITH old AS (
    SELECT s.account_id FROM limit_subject s
    WHERE s.period < to_char((v_now - interval '105 days') AT TIME ZONE 'UTC', 'YYYY-MM-DD')
      AND NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = s.account_id)
      AND NOT EXISTS (SELECT FROM quota_limit_override o WHERE o.limit_id = s.limit_id AND o.member_id = s.member_id)
    ORDER BY s.period, s.account_id LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM limit_subject s USING old o WHERE s.account_id = o.account_id RETURNING 1
  )
  SELECT count(*) INTO v_swept FROM gone;
  DELETE FROM limit_subject_count c WHERE c.period < to_char((v_now - interval '105 days') AT TIME ZONE 'UTC', 'YYYY-MM-DD');
  FOR v_kind IN SELECT * FROM (VALUES ('total', interval '1 day'), ('window', interval '2 hours')) AS k(period, idle) LOOP
    EXIT WHEN v_swept >= p_limit;
    SELECT array_agg(o.account_id) INTO v_idle FROM (
      SELECT s.account_id FROM limit_subject s
      WHERE s.period = v_kind.period AND s.seen_at < v_now - v_kind.idle
        AND NOT EXISTS (SELECT FROM budget_lease b WHERE b.key_id = s.account_id AND b.period = s.period)
        AND NOT EXISTS (SELECT FROM rate_window w WHERE w.key_id = s.account_id)
        AND NOT EXISTS (SELECT FROM quota_limit_override o WHERE o.limit_id = s.limit_id AND o.member_id = s.member_id)
      ORDER BY s.seen_at, s.account_id LIMIT p_limit - v_swept FOR UPDATE SKIP LOCKED
    ) o;
    CONTINUE WHEN v_idle IS NULL;
    DELETE FROM budget_account a WHERE a.key_id = ANY (v_idle) AND a.period = v_kind.period AND a.leased_micro_cents = 0
      AND NOT EXISTS (SELECT FROM budget_lease b WHERE b.key_id = a.key_id AND b.period = a.period);
    WITH gone AS (
      DELETE FROM limit_subject s WHERE s.account_id = ANY (v_idle)
        AND NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = s.account_id AND a.period = v_kind.period)
      RETURNING s.limit_id
    ), counted AS (
      INSERT INTO limit_subject_count AS c (limit_id, period, part, subjects)
      SELECT g.limit_id, v_kind.period, 0, -count(*) FROM gone g GROUP BY g.limit_id ORDER BY g.limit_id
      ON CONFLICT (limit_id, period, part) DO UPDATE SET subjects = c.subjects + EXCLUDED.subjects
    )
    SELECT count(*) INTO v_more FROM gone;
    v_swept := v_swept + v_more;
  END LOOP;
  RETURN v_swept;
END $$;
