-- Books a batch of reports and releases in one statement, so that no row of it stays locked during a round trip.
-- Events have tags and the version of their key (docs/adr/0033): the newest that is committed.
-- `e_tags` has the text of an array for each entry. A rollup belongs to the version that its first event had; what
-- other versions used in that hour is also counted in usage_rollup_moved.
-- Entries come as lists: `e_` one value each (lists that are shorter are NULL from there on), `h_` the holds of
-- their reservations. An entry without `e_id_hash` is a release. No two entries may have the same id. Entries with one
-- reservation are decided in their order. `p_refused` names entries (from 1) that may only be repeats: what is not one
-- is `over-ceiling`, and its id stays free. Returns a row for each entry that is more than an event which counted now
-- and cost no more than its reservation: `repeated` with the payload under its id, `over-ceiling`, or what
-- `quota_settle_4` says. Sums saturate (docs/adr/0031): no amounts of a caller raise an exception here. Order of locks:
-- ids, accounts and leases, events, totals, rollups, moved rollups, and inside each by key. Ids are taken first: a second caller with
-- the same id waits for the first one's commit. The last use moves only when a minute has passed: it is indexed, and
-- a charge that leaves it is an update in place.
-- Reservations charge the accounts that they name. A report without one charges the accounts of limits that bind its key and
-- its model when it is received, read from rows and not from a replica's record (docs/adr/0043, rule 5). Each event keeps
-- the project of its key, the accounts of limits that it charged, and the tokens that those of tokens were charged with
-- (docs/adr/0045). An installation without limits or projects does not look.
CREATE OR REPLACE FUNCTION usage_book_5(
  e_key uuid[], e_caller uuid[], e_id_hash bytea[], e_payload bytea[], e_reservation uuid[], e_month text[], e_reserved bigint[],
  e_amount bigint[], e_by text[], p_default bigint, p_refused integer[], h_event integer[], h_account uuid[], h_period text[], h_lease uuid[],
  e_id text[], e_requests integer[], e_input bigint[], e_output bigint[], e_model text[], e_chatbot text[], e_endpoint text[],
  e_status smallint[], e_latency float8[], e_occurred timestamptz[], e_tags text[], e_reserved_tokens bigint[], e_tokens bigint[]
) RETURNS TABLE (entry integer, outcome text, is_late boolean, excess bigint, payload_hash bytea) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  v_count integer := cardinality(e_key);
  v_usages integer := cardinality(array_remove(e_id_hash, NULL));
  v_now_month text := to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-01');
  v_month text[] := e_month;
  v_kind text[] := array_fill('settle'::text, ARRAY[v_count]);
  v_taken bytea[];
  v_payload bytea[] := array_fill(NULL::bytea, ARRAY[v_count]);
  v_refused boolean[] := array_fill(false, ARRAY[v_count]);
  v_outcome text[];
  v_late boolean[];
  v_excess bigint[];
  v_version bigint[];
  v_current bigint[];
  v_moved_key uuid[];
  v_moved_model text[];
  v_moved_from bigint[];
  v_hold_event integer[] := h_event; v_account uuid[] := h_account; v_period text[] := h_period; v_lease uuid[] := h_lease;
  v_limit uuid[] := '{}'; v_member uuid[] := '{}';
  -- What was charged to limits, in order of entries, and where the part of each entry begins and ends.
  v_charged integer[]; v_charged_account uuid[]; v_charged_period text[];
  v_begins integer[] := '{}'; v_stops integer[] := '{}';
  v_project uuid[] := '{}';
  v_row record;
BEGIN
  IF cardinality(e_month) = 0 THEN
    v_month := array_fill(v_now_month, ARRAY[v_count]);
  ELSE
    FOR i IN 1 .. v_count LOOP v_month[i] := coalesce(v_month[i], v_now_month); END LOOP;
  END IF;
  IF v_usages < v_count THEN
    FOR i IN 1 .. v_count LOOP
      IF e_id_hash[i] IS NULL THEN v_kind[i] := 'release'; END IF;
    END LOOP;
  END IF;
  WITH taken AS (
    INSERT INTO usage_id AS u (key_id, caller_id, id_hash, payload_hash, reservation_id)
    SELECT e.key, e.caller, e.id_hash, e.payload, e.reservation
    FROM unnest(e_key, e_caller, e_id_hash, e_payload, e_reservation) WITH ORDINALITY AS e(key, caller, id_hash, payload, reservation, n)
    WHERE e.id_hash IS NOT NULL AND e.n <> ALL (p_refused)
    ORDER BY e.key, e.caller, e.id_hash
    ON CONFLICT DO NOTHING
    RETURNING uuid_send(u.key_id) || uuid_send(u.caller_id) || u.id_hash AS name
  )
  SELECT coalesce(array_agg(t.name), '{}') INTO v_taken FROM taken t;
  IF cardinality(v_taken) < v_usages THEN
    FOR v_row IN
      SELECT e.n, u.payload_hash FROM unnest(e_key, e_caller, e_id_hash) WITH ORDINALITY AS e(key, caller, id_hash, n)
      LEFT JOIN usage_id u ON u.key_id = e.key AND u.caller_id = e.caller AND u.id_hash = e.id_hash
      WHERE e.id_hash IS NOT NULL AND uuid_send(e.key) || uuid_send(e.caller) || e.id_hash <> ALL (v_taken)
    LOOP
      v_kind[v_row.n] := NULL;
      v_payload[v_row.n] := v_row.payload_hash;
      CONTINUE WHEN v_row.payload_hash IS NOT NULL;
      -- Swept between the two statements: look once more.
      IF v_row.n <> ALL (p_refused) THEN
        RAISE EXCEPTION 'A usage id that was in the way is gone' USING ERRCODE = 'serialization_failure';
      END IF;
      v_refused[v_row.n] := true;
    END LOOP;
  END IF;
  PERFORM FROM quota_limit LIMIT 1;
  IF FOUND THEN
    v_limit := array_fill(NULL::uuid, ARRAY[cardinality(h_event)]);
    v_member := v_limit;
    SELECT v_hold_event || coalesce(array_agg(c.event), '{}'), v_account || coalesce(array_agg(c.account_id), '{}'),
        v_period || coalesce(array_agg(c.period), '{}'), v_lease || coalesce(array_agg(NULL::uuid), '{}'),
        v_limit || coalesce(array_agg(c.limit_id), '{}'), v_member || coalesce(array_agg(c.member_id), '{}')
      INTO v_hold_event, v_account, v_period, v_lease, v_limit, v_member
      FROM limits_of_reports_2(e_key, e_model, (
        SELECT array_agg(coalesce(k.kind = 'settle' AND k.reservation IS NULL, false) ORDER BY k.n)
        FROM unnest(v_kind, e_reservation) WITH ORDINALITY AS k(kind, reservation, n)), quota_clock()) c;
  END IF;
  SELECT array_agg(s.outcome ORDER BY s.event), array_agg(s.is_late ORDER BY s.event), array_agg(s.excess ORDER BY s.event)
    INTO v_outcome, v_late, v_excess
    FROM quota_settle_4(v_kind, e_key, e_reservation, v_month, e_reserved, e_amount, e_by, array_fill(p_default, ARRAY[v_count]),
      v_hold_event, v_account, v_period, v_lease, v_limit, v_member, e_reserved_tokens, e_tokens) s;
  IF array_remove(v_outcome, 'settled') <> '{}' THEN
    -- Nothing of these was applied: their ids stay free.
    DELETE FROM usage_id u
      USING unnest(e_key, e_caller, e_id_hash, v_kind, v_outcome) AS e(key, caller, id_hash, kind, outcome)
      WHERE e.kind = 'settle' AND e.outcome <> 'settled'
        AND u.key_id = e.key AND u.caller_id = e.caller AND u.id_hash = e.id_hash;
  END IF;
  PERFORM FROM unnest(v_hold_event, v_account) AS h(event, account) WHERE h.account <> e_key[h.event] LIMIT 1;
  IF FOUND THEN
    SELECT array_agg(h.event ORDER BY h.event, h.n), array_agg(h.account ORDER BY h.event, h.n), array_agg(h.period ORDER BY h.event, h.n)
      INTO v_charged, v_charged_account, v_charged_period
      FROM unnest(v_hold_event, v_account, v_period) WITH ORDINALITY AS h(event, account, period, n)
      WHERE v_outcome[h.event] = 'settled' AND h.account <> e_key[h.event]
        AND EXISTS (SELECT FROM budget_account a WHERE a.key_id = h.account AND a.period = h.period);
    FOR i IN 1 .. coalesce(cardinality(v_charged), 0) LOOP
      v_begins[v_charged[i]] := coalesce(v_begins[v_charged[i]], i);
      v_stops[v_charged[i]] := i;
    END LOOP;
  END IF;
  PERFORM FROM project LIMIT 1;
  IF FOUND THEN
    SELECT array_agg(k.project_id ORDER BY e.n) INTO v_project
      FROM unnest(e_key) WITH ORDINALITY AS e(key, n) LEFT JOIN api_key k ON k.id = e.key;
  END IF;
  SELECT array_agg((SELECT v.id FROM key_version v WHERE v.key_id = e.key ORDER BY v.id DESC LIMIT 1) ORDER BY e.n)
    INTO v_version FROM unnest(e_key) WITH ORDINALITY AS e(key, n);
  v_current := array_remove(v_version, NULL);
  INSERT INTO usage_event (key_id, caller_id, event_id, month, reservation_id, requests, input_tokens, output_tokens, cost_micro_cents,
                           model, chatbot, endpoint, status_code, latency_ms, occurred_at, is_late, excess_micro_cents, version_id, tags,
                           project_id, charged_accounts, charged_periods, charged_tokens)
    SELECT e.key, e.caller, e.id, e.month::date, e.reservation, e.requests, e.input, e.output, e.amount,
           coalesce(e.model, ''), e.chatbot, e.endpoint, e.status, e.latency, e.occurred, e.is_late, e.excess, e.version,
           e.tags::text[], v_project[e.n], CASE WHEN v_begins[e.n] IS NOT NULL THEN v_charged_account[v_begins[e.n]:v_stops[e.n]] END,
           CASE WHEN v_begins[e.n] IS NOT NULL THEN v_charged_period[v_begins[e.n]:v_stops[e.n]] END,
           CASE WHEN v_begins[e.n] IS NOT NULL THEN coalesce(e_tokens[e.n], 0) END
    FROM unnest(v_outcome, e_key, e_caller, e_id, v_month, e_reservation, e_requests, e_input, e_output, e_amount, e_model, e_chatbot,
                e_endpoint, e_status, e_latency, e_occurred, v_late, v_excess, v_version, e_tags) WITH ORDINALITY
         AS e(outcome, key, caller, id, month, reservation, requests, input, output, amount, model, chatbot,
              endpoint, status, latency, occurred, is_late, excess, version, tags, n)
    WHERE e.outcome = 'settled';
  INSERT INTO key_totals AS t (key_id, requests, input_tokens, output_tokens, cost_micro_cents, last_used_at)
    SELECT e.key, saturated(sum(e.requests)), saturated(sum(e.input)), saturated(sum(e.output)), saturated(sum(e.amount)), now()
    FROM unnest(v_outcome, e_key, e_requests, e_input, e_output, e_amount) AS e(outcome, key, requests, input, output, amount)
    WHERE e.outcome = 'settled' GROUP BY e.key ORDER BY e.key
    ON CONFLICT (key_id) DO UPDATE
      SET requests = saturating_add(t.requests, EXCLUDED.requests),
          input_tokens = saturating_add(t.input_tokens, EXCLUDED.input_tokens),
          output_tokens = saturating_add(t.output_tokens, EXCLUDED.output_tokens),
          cost_micro_cents = saturating_add(t.cost_micro_cents, EXCLUDED.cost_micro_cents),
          last_used_at = CASE WHEN t.last_used_at > EXCLUDED.last_used_at - interval '1 minute' THEN t.last_used_at ELSE EXCLUDED.last_used_at END;
  WITH rolled AS (
    INSERT INTO usage_rollup_hour AS r (key_id, hour, model, version_id, requests, input_tokens, output_tokens, cost_micro_cents)
    SELECT e.key, date_trunc('hour', now(), 'UTC'), coalesce(e.model, ''), min(e.version),
           saturated(sum(e.requests)), saturated(sum(e.input)), saturated(sum(e.output)), saturated(sum(e.amount))
    FROM unnest(v_outcome, e_key, e_model, v_version, e_requests, e_input, e_output, e_amount)
         AS e(outcome, key, model, version, requests, input, output, amount)
    WHERE e.outcome = 'settled' GROUP BY e.key, coalesce(e.model, '') ORDER BY e.key, coalesce(e.model, '')
    ON CONFLICT (key_id, hour, model) DO UPDATE
      SET requests = saturating_add(r.requests, EXCLUDED.requests),
          input_tokens = saturating_add(r.input_tokens, EXCLUDED.input_tokens),
          output_tokens = saturating_add(r.output_tokens, EXCLUDED.output_tokens),
          cost_micro_cents = saturating_add(r.cost_micro_cents, EXCLUDED.cost_micro_cents)
    RETURNING r.key_id, r.model, r.version_id
  )
  -- A version belongs to one key, so a rollup of another version than its key has now is in none of those of the batch.
  SELECT array_agg(r.key_id), array_agg(r.model), array_agg(r.version_id) INTO v_moved_key, v_moved_model, v_moved_from
    FROM rolled r WHERE r.version_id IS NULL OR r.version_id <> ALL (v_current);
  IF v_moved_key IS NOT NULL THEN
    INSERT INTO usage_rollup_moved AS m (key_id, hour, model, version_id, from_version_id, requests, input_tokens, output_tokens, cost_micro_cents)
      SELECT e.key, date_trunc('hour', now(), 'UTC'), o.model, e.version, o.version,
             saturated(sum(e.requests)), saturated(sum(e.input)), saturated(sum(e.output)), saturated(sum(e.amount))
      FROM unnest(v_moved_key, v_moved_model, v_moved_from) AS o(key, model, version)
      JOIN unnest(v_outcome, e_key, e_model, v_version, e_requests, e_input, e_output, e_amount)
           AS e(outcome, key, model, version, requests, input, output, amount) ON e.key = o.key AND coalesce(e.model, '') = o.model
      WHERE e.outcome = 'settled' AND e.version IS NOT NULL GROUP BY e.key, o.model, e.version, o.version ORDER BY e.key, o.model
      ON CONFLICT (key_id, hour, model, version_id) DO UPDATE
        SET requests = saturating_add(m.requests, EXCLUDED.requests),
            input_tokens = saturating_add(m.input_tokens, EXCLUDED.input_tokens),
            output_tokens = saturating_add(m.output_tokens, EXCLUDED.output_tokens),
            cost_micro_cents = saturating_add(m.cost_micro_cents, EXCLUDED.cost_micro_cents);
  END IF;
  IF array_remove(v_outcome, 'settled') <> '{}' OR array_position(v_late, true) IS NOT NULL OR array_remove(v_excess, 0) <> '{}' THEN
    RETURN QUERY
      SELECT e.n::integer, CASE WHEN e.payload IS NOT NULL THEN 'repeated' WHEN e.refused THEN 'over-ceiling' ELSE e.outcome END,
        e.is_late, e.excess, e.payload
      FROM unnest(v_outcome, v_late, v_excess, v_payload, v_refused) WITH ORDINALITY AS e(outcome, is_late, excess, payload, refused, n)
      WHERE e.outcome <> 'settled' OR e.is_late OR e.excess > 0
      ORDER BY e.n;
  END IF;
END $$;
