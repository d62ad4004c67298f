-- Takes slots of limits of calls in flight. A row of the lists is a slot that a call needs; those with the same number are one
-- call, which gets all of its slots or none. Calls are decided in the order of their numbers. Each slot is a lease of its own
-- (docs/adr/0046): one unit, held until 5 s and the time to live after the last instant at which it may admit, which is 2 s
-- after the grant. An account is `total` and spends nothing, so that what is leased of it are the calls in flight. The rule's
-- row decides, read after the lock, as in quota_acquire_limits.
-- Gives each slot back with `granted`: null where the account has room and another account of the call has none.
CREATE OR REPLACE FUNCTION quota_take_slots(
  p_replica text, n_call integer[], n_account uuid[], n_limit uuid[], n_member uuid[], n_lease uuid[], n_ttl integer[]
) RETURNS TABLE (n integer, granted boolean, found boolean, month text, clock_ms bigint, admit_for_ms bigint) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  v_count integer := cardinality(n_call);
  v_now timestamptz;
  v_until timestamptz;
  v_account uuid[];
  v_at integer[];
  v_found boolean[];
  v_left bigint[];
  v_taken bigint[];
  v_granted boolean[] := array_fill(false, ARRAY[v_count]);
  v_fits boolean;
  v_row record;
BEGIN
  PERFORM limit_accounts_open(n_account, n_limit, n_member, array_fill('total'::text, ARRAY[v_count]));
  SELECT array_agg(u.account ORDER BY u.account) INTO v_account FROM (SELECT DISTINCT account FROM unnest(n_account) AS account) u;
  v_found := array_fill(false, ARRAY[cardinality(v_account)]);
  v_left := array_fill(NULL::bigint, ARRAY[cardinality(v_account)]);
  v_taken := array_fill(0::bigint, ARRAY[cardinality(v_account)]);
  PERFORM FROM budget_account a WHERE a.key_id = ANY (v_account) AND a.period = 'total' ORDER BY a.key_id, a.period FOR UPDATE;
  -- The clock after the lock: waiting for it must not shorten or date back what is granted.
  v_now := quota_clock();
  v_until := v_now + interval '2 seconds';
  FOR v_row IN
    SELECT u.n::integer AS n, a.key_id AS account, a.limit_micro_cents AS copy, a.leased_micro_cents AS leased,
      CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN coalesce(o.amount, l.amount) END AS amount
    FROM unnest(v_account) WITH ORDINALITY AS u(account, n)
    JOIN budget_account a ON a.key_id = u.account AND a.period = 'total'
    JOIN quota_limit l ON l.id = a.limit_id
    LEFT JOIN quota_limit_override o ON o.limit_id = a.limit_id AND o.member_id = a.member_id AND coalesce(o.until, 'infinity') > v_now
  LOOP
    v_found[v_row.n] := true;
    v_left[v_row.n] := CASE WHEN v_row.amount IS NOT NULL THEN greatest(0, v_row.amount - v_row.leased) END;
    IF v_row.amount IS DISTINCT FROM v_row.copy THEN
      PERFORM limit_accounts_refresh(ARRAY[v_row.account], ARRAY['total']);
    END IF;
  END LOOP;
  SELECT array_agg(array_position(v_account, u.account) ORDER BY u.n) INTO v_at FROM unnest(n_account) WITH ORDINALITY AS u(account, n);
  FOR v_row IN
    SELECT array_agg(u.n::integer ORDER BY u.n) AS needs FROM unnest(n_call) WITH ORDINALITY AS u(call, n) GROUP BY u.call ORDER BY u.call
  LOOP
    v_fits := true;
    FOR i IN 1 .. cardinality(v_row.needs) LOOP
      v_fits := v_fits AND v_found[v_at[v_row.needs[i]]] AND coalesce(v_left[v_at[v_row.needs[i]]] > 0, true);
    END LOOP;
    FOR i IN 1 .. cardinality(v_row.needs) LOOP
      -- Null where the account has room and another one has not: the refusal is told of the other.
      v_granted[v_row.needs[i]] := CASE WHEN v_fits THEN true
        WHEN v_found[v_at[v_row.needs[i]]] AND coalesce(v_left[v_at[v_row.needs[i]]] > 0, true) THEN NULL ELSE false END;
      CONTINUE WHEN NOT v_fits;
      v_left[v_at[v_row.needs[i]]] := v_left[v_at[v_row.needs[i]]] - 1;
      v_taken[v_at[v_row.needs[i]]] := v_taken[v_at[v_row.needs[i]]] + 1;
    END LOOP;
  END LOOP;
  INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
  SELECT u.lease, u.account, 'total', p_replica, 'own', 1, v_now, v_until, v_until + interval '5 seconds' + make_interval(secs => u.ttl)
  FROM unnest(n_lease, n_account, n_ttl, v_granted) AS u(lease, account, ttl, granted) WHERE u.granted;
  UPDATE budget_account a SET leased_micro_cents = a.leased_micro_cents + t.taken
  FROM unnest(v_account, v_taken) AS t(account, taken) WHERE t.taken > 0 AND a.key_id = t.account AND a.period = 'total';
  RETURN QUERY SELECT u.n::integer, u.granted, v_found[v_at[u.n]], quota_month(v_now), quota_ms(v_now), quota_ms(v_until) - quota_ms(v_now)
    FROM unnest(v_granted) WITH ORDINALITY AS u(granted, n) ORDER BY u.n;
END $$;
