-- Books a batch of reports and releases in one statement, so that no row of it stays locked during a round trip.
-- Events have tags and the version of their key (docs/adr/0033): the newest that is committed.
-- `e_tags` has the text of an array for each entry. Totals and rollups grow later: what counted is one row of
-- usage_pending, which `usage_roll_up` adds to them (docs/adr/0053).
-- Entries come as lists: `e_` one value each (lists that are shorter are NULL from there on), `h_` the holds of
-- their reservations. An entry without `e_id_hash` is a release. No two entries may have the same id. Entries with one
-- reservation are decided in their order. `p_refused` names entries (from 1) that may only be repeats: what is not one
-- is `over-ceiling`, and its id stays free. Returns a row for each entry that is more than an event which counted now
-- and cost no more than its reservation: `repeated` with the payload under its id, `over-ceiling`, or what
-- `quota_settle_5` says. Sums saturate (docs/adr/0031): no amounts of a caller raise an exception here. Order of locks:
-- ids, subjects, accounts of keys and their leases, events, and inside each by key; then accounts of limits and their leases, for
-- which every caller waits (docs/adr/0051); slots; and windows of tokens. Ids are taken first: a second caller with the same id waits for the first one's commit.
-- Reservations charge the accounts that they name. A report without one charges the accounts of limits that bind its key and
-- its model when it is received, read from rows and not from a replica's record (docs/adr/0043, rule 5). Each event keeps
-- the project of its key, the accounts of limits that it charged, and the tokens that those of tokens were charged with
-- (docs/adr/0045). An installation without limits or projects does not look. Events keep the subject that they name, and a report
-- without a reservation charges its account where limits have one for each subject (docs/adr/0048).
-- `s_` are the slots of reservations, which are freed, and `w_` their windows of tokens, with epoch and bucket where tokens are held
-- there (docs/adr/0056). A report that is refused changes nothing: its call keeps its slot.
CREATE OR REPLACE FUNCTION usage_book_6(
  e_key uuid[], e_caller uuid[], e_id_hash bytea[], e_payload bytea[], e_reservation uuid[], e_month text[], e_reserved bigint[],
  e_amount bigint[], e_by text[], p_default bigint, p_refused integer[], h_event integer[], h_account uuid[], h_period text[], h_lease uuid[],
  e_id text[], e_requests integer[], e_input bigint[], e_output bigint[], e_model text[], e_chatbot text[], e_endpoint text[],
  e_status smallint[], e_latency float8[], e_occurred timestamptz[], e_tags text[], e_reserved_tokens bigint[], e_tokens bigint[],
  e_subject text[], s_event integer[], s_lease uuid[], w_event integer[], w_account uuid[], w_epoch bigint[], w_bucket bigint[]
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
  v_is_plain boolean;
  v_outcome text[];
  v_late boolean[];
  v_excess bigint[];
  v_version bigint[];
  v_hold_event integer[] := h_event; v_account uuid[] := h_account; v_period text[] := h_period; v_lease uuid[] := h_lease;
  v_limit uuid[] := '{}'; v_member uuid[] := '{}'; v_subject text[]; v_is_tokens boolean[]; v_has_ended boolean[];
  -- Where the part of each entry of what is charged to limits begins and ends.
  v_begins integer[] := '{}'; v_stops integer[] := '{}';
  v_window_event integer[] := w_event; v_window uuid[] := w_account; v_window_limit uuid[] := '{}'; v_window_member uuid[] := '{}';
  v_window_subject text[];
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
    v_subject := v_limit::text[];
    v_window_limit := array_fill(NULL::uuid, ARRAY[cardinality(w_event)]);
    v_window_member := v_window_limit;
    v_window_subject := v_window_limit::text[];
    SELECT v_hold_event || coalesce(array_agg(c.event) FILTER (WHERE NOT w.is_one), '{}'),
        v_account || coalesce(array_agg(c.account_id) FILTER (WHERE NOT w.is_one), '{}'),
        v_period || coalesce(array_agg(c.period) FILTER (WHERE NOT w.is_one), '{}'),
        v_lease || coalesce(array_agg(NULL::uuid) FILTER (WHERE NOT w.is_one), '{}'),
        v_limit || coalesce(array_agg(c.limit_id) FILTER (WHERE NOT w.is_one), '{}'),
        v_member || coalesce(array_agg(c.member_id) FILTER (WHERE NOT w.is_one), '{}'),
        v_subject || coalesce(array_agg(c.subject) FILTER (WHERE NOT w.is_one), '{}'),
        v_window_event || coalesce(array_agg(c.event) FILTER (WHERE w.is_one), '{}'),
        v_window || coalesce(array_agg(c.account_id) FILTER (WHERE w.is_one), '{}'),
        v_window_limit || coalesce(array_agg(c.limit_id) FILTER (WHERE w.is_one), '{}'),
        v_window_member || coalesce(array_agg(c.member_id) FILTER (WHERE w.is_one), '{}'),
        v_window_subject || coalesce(array_agg(c.subject) FILTER (WHERE w.is_one), '{}')
      INTO v_hold_event, v_account, v_period, v_lease, v_limit, v_member, v_subject,
        v_window_event, v_window, v_window_limit, v_window_member, v_window_subject
      FROM limits_of_reports_3(e_key, e_model, e_subject, (
        SELECT array_agg(coalesce(k.kind = 'settle' AND k.reservation IS NULL, false) ORDER BY k.n)
        FROM unnest(v_kind, e_reservation) WITH ORDINALITY AS k(kind, reservation, n)), quota_clock()) c
      CROSS JOIN LATERAL (SELECT c.period = 'window' AS is_one) w;
    IF array_remove(v_subject || v_window_subject, NULL) <> '{}' THEN
      PERFORM limit_subjects_note(v_account || v_window, v_limit || v_window_limit, v_member || v_window_member,
        v_subject || v_window_subject, false);
    END IF;
  END IF;
  -- Nothing but costs that nobody reserved, each of them for the first time: charged at once, or by the settlement.
  v_is_plain := v_usages = v_count AND cardinality(v_taken) = v_count AND p_default = 0 AND cardinality(h_event) = 0
    AND cardinality(array_remove(e_reservation, NULL)) = 0;
  IF v_is_plain AND usage_charge(e_key, e_amount, v_now_month) THEN
    v_outcome := array_fill('settled'::text, ARRAY[v_count]);
    v_late := array_fill(false, ARRAY[v_count]);
    v_excess := array_fill(0::bigint, ARRAY[v_count]);
    v_has_ended := v_late;
  ELSE
    SELECT array_agg(s.outcome ORDER BY s.event), array_agg(s.is_late ORDER BY s.event), array_agg(s.excess ORDER BY s.event),
        array_agg(s.has_ended ORDER BY s.event)
      INTO v_outcome, v_late, v_excess, v_has_ended
      FROM quota_settle_5(v_kind, e_key, e_reservation, v_month, e_reserved, e_amount, e_by, array_fill(p_default, ARRAY[v_count]),
        h_event, h_account, h_period, h_lease) s;
  END IF;
  IF array_remove(v_outcome, 'settled') <> '{}' THEN
    -- Nothing of these was applied: their ids stay free.
    DELETE FROM usage_id u
      USING unnest(e_key, e_caller, e_id_hash, v_kind, v_outcome) AS e(key, caller, id_hash, kind, outcome)
      WHERE e.kind = 'settle' AND e.outcome <> 'settled'
        AND u.key_id = e.key AND u.caller_id = e.caller AND u.id_hash = e.id_hash;
  END IF;
  PERFORM FROM unnest(v_hold_event, v_account) AS h(event, account) WHERE h.account <> e_key[h.event] LIMIT 1;
  IF FOUND THEN
    SELECT array_agg(c.event), array_agg(c.account), array_agg(c.period), array_agg(c.lease), array_agg(c.is_tokens)
      INTO v_hold_event, v_account, v_period, v_lease, v_is_tokens
      FROM limit_accounts_prepare(e_key, v_outcome, v_hold_event, v_account, v_period, v_lease, v_limit, v_member) c;
    FOR i IN 1 .. coalesce(cardinality(v_hold_event), 0) LOOP
      v_begins[v_hold_event[i]] := coalesce(v_begins[v_hold_event[i]], i);
      v_stops[v_hold_event[i]] := i;
    END LOOP;
  ELSE
    v_hold_event := '{}';
  END IF;
  PERFORM FROM project LIMIT 1;
  IF FOUND THEN
    SELECT array_agg(k.project_id ORDER BY e.n) INTO v_project
      FROM unnest(e_key) WITH ORDINALITY AS e(key, n) LEFT JOIN api_key k ON k.id = e.key;
  END IF;
  SELECT array_agg((SELECT v.id FROM key_version v WHERE v.key_id = e.key ORDER BY v.id DESC LIMIT 1) ORDER BY e.n)
    INTO v_version FROM unnest(e_key) WITH ORDINALITY AS e(key, n);
  INSERT INTO usage_event (key_id, caller_id, event_id, month, reservation_id, requests, input_tokens, output_tokens, cost_micro_cents,
                           model, chatbot, endpoint, status_code, latency_ms, occurred_at, is_late, excess_micro_cents, version_id, tags,
                           project_id, charged_accounts, charged_periods, charged_tokens, subject)
    SELECT e.key, e.caller, e.id, e.month::date, e.reservation, e.requests, e.input, e.output, e.amount,
           coalesce(e.model, ''), e.chatbot, e.endpoint, e.status, e.latency, e.occurred, e.is_late, e.excess, e.version,
           e.tags::text[], v_project[e.n], CASE WHEN v_begins[e.n] IS NOT NULL THEN v_account[v_begins[e.n]:v_stops[e.n]] END,
           CASE WHEN v_begins[e.n] IS NOT NULL THEN v_period[v_begins[e.n]:v_stops[e.n]] END,
           CASE WHEN v_begins[e.n] IS NOT NULL THEN coalesce(e_tokens[e.n], 0) END, e_subject[e.n]
    FROM unnest(v_outcome, e_key, e_caller, e_id, v_month, e_reservation, e_requests, e_input, e_output, e_amount, e_model, e_chatbot,
                e_endpoint, e_status, e_latency, e_occurred, v_late, v_excess, v_version, e_tags) WITH ORDINALITY
         AS e(outcome, key, caller, id, month, reservation, requests, input, output, amount, model, chatbot,
              endpoint, status, latency, occurred, is_late, excess, version, tags, n)
    WHERE e.outcome = 'settled';
  IF array_remove(v_outcome, 'settled') = '{}' THEN
    INSERT INTO usage_pending (keys, models, versions, requests, input_tokens, output_tokens, cost_micro_cents)
      VALUES (e_key, e_model, v_version, e_requests, e_input, e_output, e_amount);
  ELSE
    INSERT INTO usage_pending (keys, models, versions, requests, input_tokens, output_tokens, cost_micro_cents)
      SELECT array_agg(e.key), array_agg(e.model), array_agg(e.version), array_agg(e.requests), array_agg(e.input), array_agg(e.output),
             array_agg(e.amount)
      FROM unnest(v_outcome, e_key, e_model, v_version, e_requests, e_input, e_output, e_amount)
           AS e(outcome, key, model, version, requests, input, output, amount)
      WHERE e.outcome = 'settled' HAVING count(*) > 0;
  END IF;
  PERFORM limit_accounts_charge(v_late, v_has_ended, e_reserved, e_amount, e_reserved_tokens, e_tokens,
    v_hold_event, v_account, v_period, v_lease, v_is_tokens);
  IF cardinality(s_lease) > 0 THEN
    PERFORM quota_free_slots(ARRAY(
      SELECT s.lease FROM unnest(s_event, s_lease) AS s(event, lease)
      WHERE v_payload[s.event] IS NULL AND NOT v_refused[s.event] AND v_outcome[s.event] <> 'refused'));
  END IF;
  PERFORM token_windows_charge(e_key, v_outcome, v_has_ended, e_reserved_tokens, e_tokens,
    v_window_event, v_window, w_epoch, w_bucket, v_window_limit, v_window_member);
  IF array_remove(v_outcome, 'settled') <> '{}' OR array_position(v_late, true) IS NOT NULL OR array_remove(v_excess, 0) <> '{}' THEN
    RETURN QUERY
      SELECT e.n::integer, CASE WHEN e.payload IS NOT NULL THEN 'repeated' WHEN e.refused THEN 'over-ceiling' ELSE e.outcome END,
        e.is_late, e.excess, e.payload
      FROM unnest(v_outcome, v_late, v_excess, v_payload, v_refused) WITH ORDINALITY AS e(outcome, is_late, excess, payload, refused, n)
      WHERE e.outcome <> 'settled' OR e.is_late OR e.excess > 0
      ORDER BY e.n;
  END IF;
END $$;
