-- As quota_acquire_budgets_2, over accounts of limits and of keys together: `p_limit` and `p_member` name the limit and the
-- member of an account; without a limit it is the budget of a key. Needs that have the same number in `n_joint` are one
-- call, which takes from all of its accounts or from none; they are decided first, in the order of their numbers. Everything
-- else is decided account by account, each need in order that fits.
-- The rule's row decides, read after the lock, and its amount is written into the account (docs/adr/0043, rule 2). A lease
-- ends after 10 s, with its period, with the UTC month, with a raise and with an override: the earliest of them.
-- What nothing bounds, because it only observes, is leased up to 10^17 in all. Beyond that an account gives no leases and
-- refuses nothing: `is_unheld`. With what is spent (at most 9 * 10^18) the sum of leases stays below 2^63.
CREATE OR REPLACE FUNCTION quota_acquire_limits(
  p_replica text, p_live integer, p_account uuid[], p_type text[], p_limit uuid[], p_member uuid[], p_kind text[], p_lease uuid[],
  p_want bigint[], p_first integer[], p_count integer[], n_amount bigint[], n_ttl integer[], n_lease uuid[], n_joint integer[]
) RETURNS TABLE (
  ask integer, is_found boolean, period text, month text, limit_mc bigint, spent_mc bigint, leased_mc bigint,
  verdicts boolean[], slice bigint, admit_for_ms bigint, clock_ms bigint, ends_in_ms bigint, raise_mc bigint, is_unheld boolean
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  c_most CONSTANT bigint := 100000000000000000;
  v_asks integer := cardinality(p_account);
  v_now timestamptz := quota_clock();
  v_asked text[];
  v_period text[];
  v_ends timestamptz[];
  v_until timestamptz[] := array_fill(NULL::timestamptz, ARRAY[v_asks]);
  v_found boolean[] := array_fill(false, ARRAY[v_asks]);
  v_limit bigint[] := array_fill(NULL::bigint, ARRAY[v_asks]);
  v_raise bigint[] := array_fill(0::bigint, ARRAY[v_asks]);
  v_spent bigint[] := array_fill(0::bigint, ARRAY[v_asks]);
  v_leased bigint[] := array_fill(0::bigint, ARRAY[v_asks]);
  -- What is left to give; null: no bound.
  v_left bigint[] := array_fill(NULL::bigint, ARRAY[v_asks]);
  v_taken bigint[] := array_fill(0::bigint, ARRAY[v_asks]);
  v_unheld boolean[] := array_fill(false, ARRAY[v_asks]);
  v_owner integer[] := array_fill(NULL::integer, ARRAY[cardinality(n_amount)]);
  v_granted boolean[] := array_fill(false, ARRAY[cardinality(n_amount)]);
  v_month_end timestamptz;
  v_pooled bigint; v_room bigint;
  v_fits boolean;
  v_row record;
BEGIN
  SELECT array_agg(f.name ORDER BY f.n) INTO v_asked FROM quota_periods(p_type, p_limit, v_now) f;
  PERFORM quota_open_months(array_agg(u.id), array_agg(u.period))
    FROM unnest(p_account, p_type, p_limit, v_asked) AS u(id, type, lim, period) WHERE u.lim IS NULL AND u.type = 'monthly' HAVING count(*) > 0;
  PERFORM limit_accounts_open(p_account, p_limit, p_member, v_asked);
  PERFORM FROM budget_account a
    WHERE (a.key_id, a.period) IN (SELECT u.id, u.period FROM unnest(p_account, v_asked) AS u(id, period))
    ORDER BY a.key_id, a.period FOR UPDATE;
  -- The clock after the lock: waiting for it must not shorten or date back what is granted.
  v_now := quota_clock();
  month := quota_month(v_now);
  clock_ms := quota_ms(v_now);
  v_month_end := (date_trunc('month', v_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  SELECT array_agg(f.name ORDER BY f.n), array_agg(f.ends_at ORDER BY f.n) INTO v_period, v_ends
    FROM quota_periods(p_type, p_limit, v_now) f;
  FOR v_row IN
    SELECT u.n::integer AS n, a.limit_micro_cents AS copy, a.spent_micro_cents AS spent, a.leased_micro_cents AS leased,
      a.spent_micro_cents - a.overdraft_micro_cents + a.leased_micro_cents AS held, a.raise_micro_cents AS raise, a.raise_until, a.limit_id,
      CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN coalesce(o.amount, l.amount) END AS amount, o.until
    FROM unnest(p_account, v_period) WITH ORDINALITY AS u(id, period, n)
    JOIN budget_account a ON a.key_id = u.id AND a.period = u.period
    LEFT JOIN quota_limit l ON l.id = a.limit_id
    LEFT JOIN quota_limit_override o ON o.limit_id = a.limit_id AND o.member_id = a.member_id AND coalesce(o.until, 'infinity') > v_now
    -- A period that began between the two clocks has no row of ours under lock: refused, the caller asks again.
    WHERE u.period = v_asked[u.n]
  LOOP
    v_found[v_row.n] := true;
    v_spent[v_row.n] := v_row.spent;
    v_leased[v_row.n] := v_row.leased;
    v_until[v_row.n] := least(v_now + interval '10 seconds', v_month_end, v_ends[v_row.n], v_row.until);
    IF v_row.limit_id IS NOT NULL THEN
      v_limit[v_row.n] := v_row.amount;
      IF v_row.amount IS DISTINCT FROM v_row.copy THEN
        UPDATE budget_account a SET limit_micro_cents = v_row.amount,
            floor_micro_cents = CASE WHEN v_row.amount IS NOT NULL THEN greatest(v_row.amount, v_row.held) END
          WHERE a.key_id = p_account[v_row.n] AND a.period = v_period[v_row.n];
      END IF;
    ELSE
      v_limit[v_row.n] := v_row.copy;
      IF v_row.raise_until <= v_now THEN
        UPDATE budget_account a SET raise_micro_cents = NULL, raise_until = NULL,
            floor_micro_cents = greatest(v_row.copy, v_row.held)
          WHERE a.key_id = p_account[v_row.n] AND a.period = v_period[v_row.n];
      ELSIF v_row.raise_until IS NOT NULL THEN
        v_raise[v_row.n] := v_row.raise;
        v_limit[v_row.n] := v_row.copy + v_row.raise;
        v_until[v_row.n] := least(v_until[v_row.n], v_row.raise_until);
      END IF;
    END IF;
    v_left[v_row.n] := CASE WHEN v_limit[v_row.n] IS NOT NULL
      THEN greatest(0, v_limit[v_row.n] - v_row.spent - v_row.leased) END;
  END LOOP;
  FOR i IN 1 .. v_asks LOOP
    FOR n IN p_first[i] .. p_first[i] + p_count[i] - 1 LOOP v_owner[n] := i; END LOOP;
    CONTINUE WHEN NOT v_found[i] OR v_limit[i] IS NOT NULL;
    v_unheld[i] := v_leased[i] + (
      SELECT sum(u.amount) FROM unnest(n_amount[p_first[i] : p_first[i] + p_count[i] - 1]) AS u(amount)) > c_most;
  END LOOP;
  -- Calls as a whole.
  FOR v_row IN
    SELECT u.joint, array_agg(u.n::integer) AS needs
    FROM unnest(n_joint) WITH ORDINALITY AS u(joint, n) WHERE u.joint IS NOT NULL GROUP BY u.joint ORDER BY u.joint
  LOOP
    v_fits := true;
    FOR at IN 1 .. cardinality(v_row.needs) LOOP
      v_fits := v_fits AND v_found[v_owner[v_row.needs[at]]]
        AND coalesce(n_amount[v_row.needs[at]] <= v_left[v_owner[v_row.needs[at]]], true);
    END LOOP;
    FOR at IN 1 .. cardinality(v_row.needs) LOOP
      -- Null where the account covers it and another one does not: the refusal is told of the other.
      v_granted[v_row.needs[at]] := CASE WHEN v_fits THEN true WHEN v_found[v_owner[v_row.needs[at]]]
        AND coalesce(n_amount[v_row.needs[at]] <= v_left[v_owner[v_row.needs[at]]], true) THEN NULL ELSE false END;
      CONTINUE WHEN NOT v_fits OR v_unheld[v_owner[v_row.needs[at]]];
      v_left[v_owner[v_row.needs[at]]] := v_left[v_owner[v_row.needs[at]]] - n_amount[v_row.needs[at]];
      v_taken[v_owner[v_row.needs[at]]] := v_taken[v_owner[v_row.needs[at]]] + n_amount[v_row.needs[at]];
      INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
      VALUES (n_lease[v_row.needs[at]], p_account[v_owner[v_row.needs[at]]], v_period[v_owner[v_row.needs[at]]], p_replica, 'own',
        n_amount[v_row.needs[at]], v_now, v_until[v_owner[v_row.needs[at]]],
        v_until[v_owner[v_row.needs[at]]] + interval '5 seconds' + make_interval(secs => n_ttl[v_row.needs[at]]));
    END LOOP;
  END LOOP;
  FOR i IN 1 .. v_asks LOOP
    ask := i; is_found := v_found[i]; period := v_period[i]; limit_mc := v_limit[i]; spent_mc := v_spent[i]; leased_mc := v_leased[i];
    raise_mc := v_raise[i];
    admit_for_ms := quota_ms(coalesce(v_until[i], v_now)) - clock_ms;
    ends_in_ms := quota_ms(CASE WHEN v_ends[i] < 'infinity' THEN v_ends[i] ELSE v_month_end END) - clock_ms;
    is_unheld := v_unheld[i];
    slice := 0;
    v_pooled := 0;
    FOR n IN p_first[i] .. p_first[i] + p_count[i] - 1 LOOP
      CONTINUE WHEN n_joint[n] IS NOT NULL OR NOT is_found;
      v_fits := v_left[i] IS NULL OR CASE WHEN n_amount[n] = 0 THEN v_left[i] > 0 ELSE n_amount[n] <= v_left[i] END;
      CONTINUE WHEN NOT v_fits;
      v_granted[n] := true;
      CONTINUE WHEN is_unheld;
      v_left[i] := v_left[i] - n_amount[n];
      IF n_lease[n] IS NULL THEN
        v_pooled := v_pooled + n_amount[n];
      ELSE
        v_taken[i] := v_taken[i] + n_amount[n];
        INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
        VALUES (n_lease[n], p_account[i], period, p_replica, 'own', n_amount[n], v_now, v_until[i],
          v_until[i] + interval '5 seconds' + make_interval(secs => n_ttl[n]));
      END IF;
    END LOOP;
    verdicts := v_granted[p_first[i] : p_first[i] + p_count[i] - 1];
    v_room := v_left[i] + v_pooled;
    slice := v_pooled;
    IF v_pooled > 0 AND v_room >= 8 * v_pooled AND v_room * 50::numeric >= limit_mc THEN
      slice := greatest(v_pooled, least(p_want[i], v_room / (4 * p_live)));
    ELSIF v_pooled > 0 AND limit_mc IS NULL THEN
      -- Nothing bounds it: as much as the replica expects to need, so that it does not ask for each call.
      slice := greatest(v_pooled, least(p_want[i], 100::numeric * v_pooled, c_most - leased_mc - v_taken[i]));
    END IF;
    IF slice > 0 THEN
      INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
      VALUES (p_lease[i], p_account[i], period, p_replica, p_kind[i], slice, v_now, v_until[i], v_until[i] + interval '65 seconds');
    END IF;
    v_taken[i] := v_taken[i] + slice;
    leased_mc := leased_mc + v_taken[i];
    IF v_taken[i] > 0 THEN
      UPDATE budget_account a SET leased_micro_cents = a.leased_micro_cents + v_taken[i]
        WHERE a.key_id = p_account[i] AND a.period = v_period[i];
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
