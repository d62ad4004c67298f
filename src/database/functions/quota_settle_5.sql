-- Charges and releases; an entry whose kind is NULL is `skipped`. Entries with one reservation are decided in their
-- order: the first ends it. Lists that are shorter than the entries are NULL from there on. Sums saturate
-- (docs/adr/0031): what an account spends grows by what still fits, its overdraft by no more than that, so that an
-- amount of a caller is never refused here. An event that violates the overspend constraint, which only a defect
-- can cause, is told apart from the others by trying them one by one. Lists are walked once and never joined with each
-- other. Plans are made once a connection and pinned to index look-ups: a plan that was made while a table was small
-- would read all of it for good. Accounts are charged by INSERT ... ON CONFLICT, which locks one after the other in the
-- order of its rows; an UPDATE promises no order.
-- Holds may be of accounts of limits. They are looked at, and not charged: an entry is late where the lease of one is gone, and the
-- caller gives all of them to `limit_accounts_charge` before it commits (docs/adr/0051). `has_ended`: a release had ended the
-- reservation before, so nothing of it is held any more.
CREATE OR REPLACE FUNCTION quota_settle_5(
  e_kind text[], e_key uuid[], e_reservation uuid[], e_month text[], e_reserved bigint[], e_amount bigint[], e_by text[], e_default bigint[],
  h_event integer[], h_account uuid[], h_period text[], h_lease uuid[]
) RETURNS TABLE (event integer, outcome text, is_late boolean, excess bigint, has_ended boolean) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now timestamptz := quota_clock();
  v_count integer := cardinality(e_kind);
  v_month text[] := e_month;
  v_is_plain boolean;
  v_outcome text[] := array_fill(NULL::text, ARRAY[v_count]);
  v_late boolean[] := array_fill(false, ARRAY[v_count]);
  v_has_ended boolean[];
  v_ended bytea[];
  v_size bigint[] := '{}';
  v_event integer[] := h_event; v_account uuid[] := h_account; v_period text[] := h_period; v_lease uuid[] := h_lease;
  v_row record;
  v_end record;
BEGIN
  IF cardinality(v_month) < v_count OR array_position(v_month, NULL) IS NOT NULL THEN
    FOR i IN 1 .. v_count LOOP v_month[i] := coalesce(v_month[i], quota_month(v_now)); END LOOP;
  END IF;
  -- Nothing but costs that nobody reserved: the sums of the accounts are all there is to it. Repeats and unknown keys
  -- do not change that: a flood of them costs others nothing.
  v_is_plain := array_remove(array_remove(e_kind, 'settle'), NULL) = '{}' AND array_remove(e_reservation, NULL) = '{}' AND array_remove(e_default, 0) = '{}'
    AND cardinality(h_event) = 0;
  BEGIN
    PERFORM FROM unnest(e_key, v_month) AS w(key_id, month)
      WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = w.key_id AND a.period = w.month);
    -- A month's row is made for keys alone, and a key has its total row from birth: only without it may one be unknown.
    IF FOUND THEN
      PERFORM quota_open_months(e_key, v_month);
      FOR v_row IN
        SELECT e.n FROM unnest(e_key) WITH ORDINALITY AS e(key, n)
        WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = e.key AND a.period = 'total')
      LOOP
        v_outcome[v_row.n] := CASE WHEN e_kind[v_row.n] IS NULL THEN 'skipped' ELSE 'unknown-key' END;
      END LOOP;
    END IF;
    IF v_is_plain THEN
      FOR i IN 1 .. v_count LOOP
        v_outcome[i] := coalesce(v_outcome[i], CASE WHEN e_kind[i] IS NULL THEN 'skipped' ELSE 'settled' END);
      END LOOP;
      INSERT INTO budget_account AS a (key_id, period, spent_micro_cents, overdraft_micro_cents)
      SELECT s.key_id, s.period, s.amount, s.amount
      FROM (
        SELECT p.key_id, p.period, saturated(sum(p.amount)) AS amount
        FROM (
          SELECT e.key, 'total', e.amount FROM unnest(e_key, e_amount, v_outcome) AS e(key, amount, outcome) WHERE e.outcome = 'settled'
          UNION ALL
          SELECT e.key, e.month, e.amount FROM unnest(e_key, v_month, e_amount, v_outcome) AS e(key, month, amount, outcome)
            WHERE e.outcome = 'settled'
        ) p(key_id, period, amount)
        GROUP BY p.key_id, p.period HAVING sum(p.amount) > 0
      ) s
      ORDER BY s.key_id, s.period COLLATE "C"
      ON CONFLICT (key_id, period) DO UPDATE SET
        spent_micro_cents = saturating_add(a.spent_micro_cents, EXCLUDED.spent_micro_cents),
        overdraft_micro_cents = a.overdraft_micro_cents + CASE WHEN a.limit_micro_cents IS NULL THEN 0 ELSE greatest(0, least(
          saturating_add(a.spent_micro_cents, EXCLUDED.spent_micro_cents) - a.spent_micro_cents,
          saturating_add(a.spent_micro_cents, EXCLUDED.spent_micro_cents) + a.leased_micro_cents - a.limit_micro_cents)) END;
      RETURN QUERY SELECT n, v_outcome[n], false, 0::bigint, false FROM generate_series(1, v_count) AS n;
      RETURN;
    END IF;
    -- The first end of each reservation wins; a second caller waits here for the first one's commit.
    WITH ended AS (
      INSERT INTO reservation_end (key_id, reservation_id, kind, ended_by, ended_at)
      SELECT DISTINCT ON (e.key, e.reservation) e.key, e.reservation, e.kind, e.by, v_now
      FROM unnest(e_kind, e_key, e_reservation, e_by) WITH ORDINALITY AS e(kind, key, reservation, by, n)
      WHERE e.reservation IS NOT NULL AND e.kind IS NOT NULL AND v_outcome[e.n] IS NULL
      ORDER BY e.key, e.reservation, e.n
      ON CONFLICT DO NOTHING
      RETURNING uuid_send(key_id) || uuid_send(reservation_id) AS name
    )
    SELECT array_agg(e.name) INTO v_ended FROM ended e;
    SELECT array_agg(CASE
        WHEN v_outcome[e.n] IS NOT NULL THEN v_outcome[e.n]
        WHEN e.kind IS NULL THEN 'skipped'
        WHEN e.reservation IS NULL OR e.place = 1 AND uuid_send(e.key) || uuid_send(e.reservation) = ANY (v_ended)
          THEN CASE e.kind WHEN 'settle' THEN 'settled' ELSE 'released' END
      END ORDER BY e.n)
      INTO v_outcome FROM (
        SELECT u.kind, u.key, u.reservation, u.n,
          row_number() OVER (PARTITION BY u.key, u.reservation, u.kind IS NULL OR v_outcome[u.n] IS NOT NULL ORDER BY u.n) AS place
        FROM unnest(e_kind, e_key, e_reservation) WITH ORDINALITY AS u(kind, key, reservation, n) WHERE u.n <= v_count) e;
    IF array_position(v_outcome, NULL) IS NOT NULL THEN
      FOR v_row IN
        SELECT e.n, e.kind, e.by AS settler, e.key, e.reservation
        FROM unnest(e_kind, e_key, e_reservation, e_by) WITH ORDINALITY AS e(kind, key, reservation, by, n)
        WHERE v_outcome[e.n] IS NULL
        ORDER BY e.key, e.reservation, e.n
      LOOP
        -- Read for each: the one before it in this batch may have changed it.
        SELECT r.kind, r.ended_by INTO v_end FROM reservation_end r
          WHERE r.key_id = v_row.key AND r.reservation_id = v_row.reservation FOR UPDATE;
        IF NOT FOUND THEN
          RAISE EXCEPTION 'The end of a reservation that was in the way is gone' USING ERRCODE = 'serialization_failure';
        END IF;
        IF v_row.kind = 'release' THEN
          v_outcome[v_row.n] := CASE v_end.kind WHEN 'release' THEN 'already-released' ELSE 'already-settled' END;
        ELSIF v_end.kind = 'settle' THEN
          v_outcome[v_row.n] := CASE WHEN v_end.ended_by = v_row.settler THEN 'duplicate' ELSE 'already-settled' END;
        ELSE
          UPDATE reservation_end r SET kind = 'settle', ended_by = v_row.settler, ended_at = v_now
            WHERE r.key_id = v_row.key AND r.reservation_id = v_row.reservation;
          v_outcome[v_row.n] := 'settled';
          v_late[v_row.n] := true;
        END IF;
      END LOOP;
    END IF;
    v_has_ended := v_late;
    -- Accounts: the key's own two, and those the holds name. Leases need their accounts' locks.
    PERFORM FROM budget_account a
      JOIN (
        SELECT e.key, 'total' FROM unnest(e_key) WITH ORDINALITY AS e(key, n) WHERE v_outcome[e.n] IN ('settled', 'released')
        UNION
        SELECT e.key, e.month FROM unnest(e_key, v_month) WITH ORDINALITY AS e(key, month, n) WHERE v_outcome[e.n] IN ('settled', 'released')
        UNION
        SELECT h.account, h.period FROM unnest(h_event, h_account, h_period) AS h(event, account, period)
          WHERE v_outcome[h.event] IN ('settled', 'released') AND h.account = e_key[h.event]
      ) named(key_id, period) ON a.key_id = named.key_id AND a.period = named.period
      ORDER BY a.key_id, a.period FOR UPDATE OF a;
    -- Sizes of the holds that are still open; a hold without its lease is late.
    FOR i IN 1 .. cardinality(v_event) LOOP
      v_size[i] := 0;
      CONTINUE WHEN v_outcome[v_event[i]] NOT IN ('settled', 'released') OR v_late[v_event[i]] OR v_lease[i] IS NULL
        OR v_account[i] <> e_key[v_event[i]];
      v_size[i] := e_reserved[v_event[i]];
    END LOOP;
    FOR v_row IN
      SELECT h.n, h.event FROM unnest(v_event, v_lease) WITH ORDINALITY AS h(event, lease, n)
      WHERE v_outcome[h.event] IN ('settled', 'released') AND h.lease IS NOT NULL
        AND NOT EXISTS (SELECT FROM budget_lease l WHERE l.id = h.lease)
    LOOP
      v_size[v_row.n] := 0;
      v_late[v_row.event] := true;
    END LOOP;
    -- Callers who did not reserve free the oldest open default hold.
    FOR i IN 1 .. cardinality(e_kind) LOOP
      CONTINUE WHEN coalesce(e_default[i], 0) = 0 OR e_reservation[i] IS NOT NULL OR v_outcome[i] <> 'settled';
      SELECT l.id, l.key_id, l.period, l.granted_micro_cents - l.settled_micro_cents - coalesce((
          SELECT sum(u.size) FROM unnest(v_lease, v_size) AS u(lease, size) WHERE u.lease = l.id), 0) AS open INTO v_row
        FROM budget_lease l
        WHERE l.key_id = e_key[i] AND l.period IN ('total', v_month[i]) AND l.kind = 'default'
          AND l.granted_micro_cents - l.settled_micro_cents > coalesce((
            SELECT sum(u.size) FROM unnest(v_lease, v_size) AS u(lease, size) WHERE u.lease = l.id), 0)
        ORDER BY l.granted_at, l.id LIMIT 1;
      CONTINUE WHEN NOT FOUND;
      v_event := v_event || i; v_account := v_account || v_row.key_id; v_period := v_period || v_row.period;
      v_lease := v_lease || v_row.id; v_size := v_size || least(e_default[i], v_row.open)::bigint;
    END LOOP;
    UPDATE budget_lease l SET
      settled_micro_cents = l.settled_micro_cents + s.used,
      granted_micro_cents = l.granted_micro_cents - s.rest
    FROM (
      SELECT h.lease, sum(least(e_amount[h.event], h.size))::bigint AS used, sum(h.size - least(e_amount[h.event], h.size))::bigint AS rest
      FROM unnest(v_event, v_lease, v_size) AS h(event, lease, size) WHERE h.size > 0 GROUP BY h.lease
    ) s WHERE l.id = s.lease;
    UPDATE budget_account a SET
      spent_micro_cents = saturating_add(a.spent_micro_cents, s.amount),
      leased_micro_cents = a.leased_micro_cents - s.size,
      overdraft_micro_cents = a.overdraft_micro_cents + CASE WHEN a.limit_micro_cents IS NULL THEN 0 ELSE greatest(0, least(
        s.uncovered, saturating_add(a.spent_micro_cents, s.amount) - a.spent_micro_cents,
        saturating_add(a.spent_micro_cents, s.amount) + a.leased_micro_cents - s.size - a.limit_micro_cents)) END
    FROM (
      SELECT z.key_id, z.period, saturated(sum(z.amount)) AS amount, sum(z.size)::bigint AS size,
        saturated(sum(z.amount - least(z.amount, z.size))) AS uncovered
      FROM (
        SELECT p.key_id, p.period, max(p.amount) AS amount, max(p.size) AS size
        FROM (
          SELECT e.key, 'total', e.n, 0, e.amount FROM unnest(e_key, e_amount) WITH ORDINALITY AS e(key, amount, n)
          UNION ALL SELECT e.key, e.month, e.n, 0, e.amount FROM unnest(e_key, v_month, e_amount) WITH ORDINALITY AS e(key, month, amount, n)
          UNION ALL SELECT h.account, h.period, h.event, h.size, e_amount[h.event]
            FROM unnest(v_event, v_account, v_period, v_size) AS h(event, account, period, size) WHERE h.account = e_key[h.event]
        ) p(key_id, period, n, size, amount)
        WHERE v_outcome[p.n] IN ('settled', 'released')
        GROUP BY p.key_id, p.period, p.n
      ) z GROUP BY z.key_id, z.period
    ) s WHERE a.key_id = s.key_id AND a.period = s.period;
  EXCEPTION WHEN check_violation THEN
    IF v_count = 1 THEN
      RETURN QUERY SELECT 1, 'refused'::text, false, 0::bigint, false;
      RETURN;
    END IF;
    FOR i IN 1 .. v_count LOOP
      RETURN QUERY
        SELECT i, s.outcome, s.is_late, s.excess, s.has_ended FROM quota_settle_5(
          e_kind[i:i], e_key[i:i], e_reservation[i:i], v_month[i:i], e_reserved[i:i], e_amount[i:i], e_by[i:i], e_default[i:i],
          (SELECT coalesce(array_agg(1), '{}') FROM unnest(h_event) AS h(event) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_account) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_period) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_lease) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i)
        ) s;
    END LOOP;
    RETURN;
  END;
  RETURN QUERY
    SELECT e.n::integer, v_outcome[e.n], v_late[e.n],
      CASE WHEN v_outcome[e.n] = 'settled' AND e.reservation IS NOT NULL AND e.reserved > 0 THEN greatest(0, e.amount - e.reserved) ELSE 0 END,
      v_has_ended[e.n]
    FROM unnest(e_reservation, e_amount, e_reserved) WITH ORDINALITY AS e(reservation, amount, reserved, n)
    WHERE e.n <= v_count
    ORDER BY e.n;
END $$;
