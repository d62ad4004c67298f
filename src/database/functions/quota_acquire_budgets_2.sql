-- Grants leases on budgets: each need in order that fits, own leases singly, the pooled ones as one slice.
-- See src/quotas/grant-size.ts. The limit is the one that holds now: with the raise of the account while it runs. What is
-- granted then admits until the raise ends, at the latest. The first acquire after that tightens the overspend constraint.
CREATE OR REPLACE FUNCTION quota_acquire_budgets_2(
  p_replica text, p_live integer,
  p_account uuid[], p_type text[], p_kind text[], p_lease uuid[], p_want bigint[], p_first integer[], p_count integer[],
  n_amount bigint[], n_ttl integer[], n_lease uuid[]
) RETURNS TABLE (
  ask integer, is_found boolean, period text, month text, limit_mc bigint, spent_mc bigint, leased_mc bigint,
  verdicts boolean[], slice bigint, admit_for_ms bigint, clock_ms bigint, month_ends_in_ms bigint, raise_mc bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := quota_clock();
  v_asked_month text := quota_month(v_now);
  v_until timestamptz;
  v_month_end timestamptz;
  v_raise_until timestamptz;
  v_room bigint; v_left bigint; v_pooled bigint; v_taken bigint; v_share bigint;
  v_fits boolean;
BEGIN
  PERFORM quota_open_months(array_agg(u.id), array_agg(v_asked_month))
    FROM unnest(p_account, p_type) AS u(id, type) WHERE u.type = 'monthly' HAVING count(*) > 0;
  PERFORM FROM budget_account a
    WHERE (a.key_id, a.period) IN (
      SELECT u.id, CASE u.type WHEN 'total' THEN 'total' ELSE v_asked_month END FROM unnest(p_account, p_type) AS u(id, type))
    ORDER BY a.key_id, a.period FOR UPDATE;
  -- The clock after the lock: waiting for it must not shorten or date back what is granted.
  v_now := quota_clock();
  month := quota_month(v_now);
  v_month_end := (date_trunc('month', v_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  clock_ms := quota_ms(v_now);
  month_ends_in_ms := quota_ms(v_month_end) - clock_ms;
  FOR i IN 1 .. cardinality(p_account) LOOP
    ask := i;
    period := CASE p_type[i] WHEN 'total' THEN 'total' ELSE month END;
    verdicts := array_fill(false, ARRAY[p_count[i]]);
    slice := 0;
    SELECT a.limit_micro_cents, a.spent_micro_cents, a.leased_micro_cents, coalesce(a.raise_micro_cents, 0), a.raise_until
      INTO limit_mc, spent_mc, leased_mc, raise_mc, v_raise_until
      FROM budget_account a WHERE a.key_id = p_account[i] AND a.period = quota_acquire_budgets_2.period;
    -- A month that began between the two clocks has no row of ours under lock: refused, the caller asks again.
    is_found := FOUND AND (period = 'total' OR month = v_asked_month);
    v_until := least(v_now + interval '10 seconds', v_month_end);
    admit_for_ms := quota_ms(v_until) - clock_ms;
    IF NOT is_found THEN
      limit_mc := NULL; spent_mc := 0; leased_mc := 0; raise_mc := 0;
      RETURN NEXT;
      CONTINUE;
    END IF;
    IF v_raise_until <= v_now THEN
      UPDATE budget_account a SET raise_micro_cents = NULL, raise_until = NULL, floor_micro_cents =
          greatest(a.limit_micro_cents, a.spent_micro_cents - a.overdraft_micro_cents + a.leased_micro_cents)
        WHERE a.key_id = p_account[i] AND a.period = quota_acquire_budgets_2.period;
      raise_mc := 0;
    ELSIF v_raise_until IS NOT NULL THEN
      limit_mc := limit_mc + raise_mc;
      v_until := least(v_until, v_raise_until);
      admit_for_ms := quota_ms(v_until) - clock_ms;
    END IF;
    v_room := greatest(0, limit_mc - spent_mc - leased_mc);
    IF limit_mc IS NULL THEN v_room := NULL; END IF;
    v_left := coalesce(v_room, 0);
    v_pooled := 0;
    v_taken := 0;
    FOR n IN p_first[i] .. p_first[i] + p_count[i] - 1 LOOP
      v_fits := v_room IS NULL OR CASE WHEN n_amount[n] = 0 THEN v_left > 0 ELSE n_amount[n] <= v_left END;
      CONTINUE WHEN NOT v_fits;
      verdicts[n - p_first[i] + 1] := true;
      IF v_room IS NOT NULL THEN v_left := v_left - n_amount[n]; END IF;
      IF n_lease[n] IS NULL THEN
        v_pooled := v_pooled + n_amount[n];
      ELSE
        v_taken := v_taken + n_amount[n];
        INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
        VALUES (n_lease[n], p_account[i], quota_acquire_budgets_2.period, p_replica, 'own', n_amount[n], v_now, v_until,
          v_until + interval '5 seconds' + make_interval(secs => n_ttl[n]));
      END IF;
    END LOOP;
    slice := v_pooled;
    v_left := v_left + v_pooled;
    IF limit_mc IS NOT NULL AND v_pooled > 0 AND v_left >= 8 * v_pooled AND v_left * 50 >= limit_mc THEN
      v_share := v_left / (4 * p_live);
      slice := greatest(v_pooled, least(p_want[i], v_share));
    END IF;
    IF slice > 0 THEN
      INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
      VALUES (p_lease[i], p_account[i], quota_acquire_budgets_2.period, p_replica, p_kind[i], slice, v_now, v_until,
        v_until + interval '65 seconds');
    END IF;
    v_taken := v_taken + slice;
    leased_mc := leased_mc + v_taken;
    IF v_taken > 0 THEN
      UPDATE budget_account a SET leased_micro_cents = leased_mc
        WHERE a.key_id = p_account[i] AND a.period = quota_acquire_budgets_2.period;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
