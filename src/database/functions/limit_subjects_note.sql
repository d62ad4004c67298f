-- Notes the subjects whose accounts a statement is about to use, once a period each: what an account is of must be known when it
-- was swept and a report comes that names it, and the text is kept for those who read accounts (docs/adr/0048). Gives the limits
-- back in their order. Where `p_is_bounded`, a limit that is enforced and has as many subjects as it may have in a period is
-- replaced by the nil UUID for a subject that is new in it: there is no such limit, so nothing is made or granted there.
-- Subjects are locked in the order of their accounts, before accounts; after them what counts them, of which each session has a
-- part, so that thousands of new subjects do not wait for one row.
-- A subject of calls in flight (`total`) or of a window (`window`) has no period: it is noted again when it was not seen for half
-- a day, or an hour, and swept after twice as long (limit_subjects_sweep).
CREATE OR REPLACE FUNCTION limit_subjects_note(
  p_account uuid[], p_limit uuid[], p_member uuid[], p_subject text[], p_is_bounded boolean
) RETURNS uuid[] LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  c_most CONSTANT bigint := 100000;
  c_parts CONSTANT integer := 16;
  v_now timestamptz := quota_clock();
  v_limit uuid[] := p_limit;
  v_noted uuid[] := '{}';
  v_period text[] := '{}';
  v_row record;
BEGIN
  FOR v_row IN
    SELECT w.account, w.lim, w.member, w.subject, p.name AS period, s.period AS noted_period, l.mode = 'enforce' AND l.ended_at IS NULL AS is_enforced
    FROM (
      SELECT DISTINCT u.account, u.lim, u.member, u.subject
      FROM unnest(p_account, p_limit, p_member, p_subject) AS u(account, lim, member, subject) WHERE u.subject IS NOT NULL
    ) w
    JOIN quota_limit l ON l.id = w.lim
    CROSS JOIN LATERAL (
      SELECT 'window' AS name WHERE l.per IN ('minute', 'hour')
      UNION ALL
      SELECT c.name FROM limit_period_at(v_now, coalesce(l.per, 'total'), l.time_zone) c WHERE (l.per IN ('minute', 'hour')) IS NOT TRUE
    ) p
    LEFT JOIN limit_subject s ON s.account_id = w.account
    WHERE s.account_id IS NULL OR s.period < p.name
      OR s.seen_at < v_now - CASE s.period WHEN 'total' THEN interval '12 hours' WHEN 'window' THEN interval '1 hour' END
    ORDER BY w.account
  LOOP
    IF v_row.noted_period = v_row.period THEN
      UPDATE limit_subject s SET seen_at = v_now, subject = v_row.subject WHERE s.account_id = v_row.account;
      -- Swept meanwhile: it is noted as a new one.
      CONTINUE WHEN FOUND;
    END IF;
    IF p_is_bounded AND v_row.is_enforced
      AND (SELECT coalesce(sum(c.subjects), 0) FROM limit_subject_count c WHERE c.limit_id = v_row.lim AND c.period = v_row.period)
        + cardinality(array_positions(v_noted, v_row.lim)) >= c_most
    THEN
      FOR i IN 1 .. cardinality(p_account) LOOP
        IF p_account[i] = v_row.account THEN v_limit[i] := '00000000-0000-0000-0000-000000000000'; END IF;
      END LOOP;
      CONTINUE;
    END IF;
    INSERT INTO limit_subject AS s (account_id, limit_id, member_id, subject, period, seen_at)
    VALUES (v_row.account, v_row.lim, v_row.member, v_row.subject, v_row.period, v_now)
    ON CONFLICT (account_id) DO UPDATE SET subject = EXCLUDED.subject, period = EXCLUDED.period, seen_at = EXCLUDED.seen_at
      WHERE s.period < EXCLUDED.period;
    IF FOUND THEN
      v_noted := v_noted || v_row.lim;
      v_period := v_period || v_row.period;
    END IF;
  END LOOP;
  IF v_noted <> '{}' THEN
    INSERT INTO limit_subject_count AS c (limit_id, period, part, subjects)
    SELECT n.lim, n.period, pg_backend_pid() % c_parts, count(*) FROM unnest(v_noted, v_period) AS n(lim, period)
    GROUP BY n.lim, n.period ORDER BY n.lim, n.period
    ON CONFLICT (limit_id, period, part) DO UPDATE SET subjects = c.subjects + EXCLUDED.subjects;
  END IF;
  RETURN v_limit;
END $$;
