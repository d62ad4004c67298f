import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: usage ids, usage events by month, totals and hourly rollups of keys, verdicts counted by minute, and the function
 * that books reports.
 * Why: the metering plane. Ids are apart from events because a table partitioned by time cannot keep them unique. No
 * foreign keys to keys: what a deleted key has used still settles and stays.
 * Lock taken: SHARE ROW EXCLUSIVE on api_key while its triggers are made; all tables are new.
 * Can old code run against it: yes, it knows none of these tables.
 */
export class Usage1790000000400 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE usage_id (
        key_id          uuid        NOT NULL,
        caller_id       uuid        NOT NULL,
        id_hash         bytea       NOT NULL,
        payload_hash    bytea       NOT NULL,
        reservation_id  uuid,
        received_at     timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT usage_id_pkey PRIMARY KEY (key_id, caller_id, id_hash),
        CONSTRAINT usage_id_hash_check CHECK (octet_length(id_hash) = 16 AND octet_length(payload_hash) = 16)
      )`);
    await runner.query(`CREATE INDEX usage_id_received_idx ON usage_id (received_at)`);
    await runner.query(`
      CREATE TABLE usage_event (
        received_at       timestamptz NOT NULL DEFAULT now(),
        key_id            uuid        NOT NULL,
        caller_id         uuid        NOT NULL,
        event_id          text        NOT NULL,
        month             date        NOT NULL,
        reservation_id    uuid,
        requests          integer     NOT NULL,
        input_tokens      bigint      NOT NULL,
        output_tokens     bigint      NOT NULL,
        cost_micro_cents  bigint      NOT NULL,
        model             text        NOT NULL DEFAULT '',
        chatbot           text,
        endpoint          text,
        status_code       smallint,
        latency_ms        double precision,
        occurred_at       timestamptz,
        is_late           boolean     NOT NULL DEFAULT false,
        excess_micro_cents bigint     NOT NULL DEFAULT 0,
        CONSTRAINT usage_event_amounts_check
          CHECK (requests >= 1 AND input_tokens >= 0 AND output_tokens >= 0 AND cost_micro_cents >= 0 AND excess_micro_cents >= 0)
      ) PARTITION BY RANGE (received_at)`);
    await runner.query(`CREATE TABLE usage_event_default PARTITION OF usage_event DEFAULT`);
    await runner.query(PREPARE_PARTITIONS);
    await runner.query(`SELECT usage_event_prepare(2)`);
    await runner.query(`
      CREATE TABLE key_totals (
        key_id            uuid   NOT NULL,
        requests          bigint NOT NULL DEFAULT 0,
        input_tokens      bigint NOT NULL DEFAULT 0,
        output_tokens     bigint NOT NULL DEFAULT 0,
        cost_micro_cents  bigint NOT NULL DEFAULT 0,
        last_used_at      timestamptz NOT NULL DEFAULT '-infinity',
        is_listed         boolean NOT NULL DEFAULT false,
        CONSTRAINT key_totals_pkey PRIMARY KEY (key_id)
      ) WITH (fillfactor = 70)`);
    for (const statement of LISTED_TOTALS) await runner.query(statement);
    await runner.query(`
      CREATE TABLE usage_rollup_hour (
        key_id            uuid        NOT NULL,
        hour              timestamptz NOT NULL,
        model             text        NOT NULL,
        requests          bigint      NOT NULL,
        input_tokens      bigint      NOT NULL,
        output_tokens     bigint      NOT NULL,
        cost_micro_cents  bigint      NOT NULL,
        CONSTRAINT usage_rollup_hour_pkey PRIMARY KEY (key_id, hour, model)
      ) WITH (fillfactor = 70)`);
    await runner.query(`CREATE INDEX usage_rollup_hour_idx ON usage_rollup_hour (hour)`);
    await runner.query(`
      CREATE TABLE verdict_minute (
        key_id  uuid        NOT NULL,
        minute  timestamptz NOT NULL,
        code    text        NOT NULL,
        count   bigint      NOT NULL,
        CONSTRAINT verdict_minute_pkey PRIMARY KEY (key_id, minute, code)
      ) WITH (fillfactor = 70)`);
    await runner.query(`CREATE INDEX verdict_minute_idx ON verdict_minute (minute)`);
    await runner.query(BOOK);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER api_key_add_totals ON api_key`);
    await runner.query(`DROP TRIGGER api_key_keep_totals ON api_key`);
    await runner.query(`DROP FUNCTION key_totals_add, key_totals_keep, usage_book`);
    for (const table of ['verdict_minute', 'usage_rollup_hour', 'key_totals', 'usage_event', 'usage_id']) {
      await runner.query(`DROP TABLE ${table}`);
    }
    await runner.query(`DROP FUNCTION usage_event_prepare(integer, date)`);
  }
}

/**
 * Every key has its row from birth, by a trigger, so that no door to a key can forget it and lists by last use join no
 * row in vain. What a deleted key has used stays; it leaves the index, and what was never reported goes with its key.
 * The one index on what traffic writes moves at most once a minute and key: both writers of `last_used_at` see to it.
 */
const LISTED_TOTALS: readonly string[] = [
  `CREATE FUNCTION key_totals_add() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO key_totals (key_id, is_listed) SELECT id, true FROM added ORDER BY id
    ON CONFLICT (key_id) DO UPDATE SET is_listed = true;
    RETURN NULL;
  END $$`,
  `CREATE FUNCTION key_totals_keep() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM FROM key_totals WHERE key_id IN (SELECT id FROM removed) ORDER BY key_id FOR UPDATE;
    DELETE FROM key_totals WHERE key_id IN (SELECT id FROM removed) AND requests = 0;
    UPDATE key_totals SET is_listed = false WHERE key_id IN (SELECT id FROM removed);
    RETURN NULL;
  END $$`,
  `CREATE TRIGGER api_key_add_totals AFTER INSERT ON api_key
   REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION key_totals_add()`,
  `CREATE TRIGGER api_key_keep_totals AFTER DELETE ON api_key
   REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION key_totals_keep()`,
  `INSERT INTO key_totals (key_id, is_listed) SELECT id, true FROM api_key`,
  // Never used is -infinity and not null: an index on coalesce() would have no statistics, being partial.
  `CREATE INDEX key_totals_last_used_idx ON key_totals (last_used_at, key_id) WHERE is_listed`,
];

/**
 * Makes the partitions of a month and those after it. Any number of replicas may call it at once. It runs with the
 * rights of the schema's owner, because the application's role makes no tables. Events that came before their
 * partition lie in the default one, and are moved. ATTACH, unlike CREATE … PARTITION OF, does not stop the writers.
 */
const PREPARE_PARTITIONS = `
  CREATE FUNCTION usage_event_prepare(ahead integer, first_month date DEFAULT NULL) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
  DECLARE
    starts date;
    ends date;
    partition_name text;
    made integer := 0;
  BEGIN
    PERFORM pg_advisory_xact_lock(4242004);
    FOR step IN 0..least(ahead, 24) LOOP
      starts := (date_trunc('month', coalesce(first_month::timestamp, now() AT TIME ZONE 'UTC')) + make_interval(months => step))::date;
      ends := (starts + interval '1 month')::date;
      partition_name := 'usage_event_' || to_char(starts, 'YYYY_MM');
      CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
      EXECUTE format('CREATE TABLE %I (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition_name);
      LOCK TABLE usage_event_default IN ACCESS EXCLUSIVE MODE;
      EXECUTE format(
        'WITH moved AS (DELETE FROM usage_event_default WHERE received_at >= %1$L AND received_at < %2$L RETURNING *)
         INSERT INTO %3$I SELECT * FROM moved', starts || ' 00:00+00', ends || ' 00:00+00', partition_name);
      EXECUTE format('ALTER TABLE usage_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                     partition_name, starts || ' 00:00+00', ends || ' 00:00+00');
      made := made + 1;
    END LOOP;
    RETURN made;
  END $$`;

/**
 * Books a batch of reports and releases: one statement, so that a batch is one round to the server and no row of it stays
 * locked while a replica thinks. Entries come as lists: `e_` one value each (lists that are shorter are NULL from there
 * on), `h_` the holds of their reservations. An entry without `e_id_hash` is a release. No two entries may have the same
 * id, and no two the same reservation.
 *
 * Gives a row for each entry that is more than an event which counted now and cost no more than its reservation:
 * `repeated` with the payload under its id, or what `quota_settle` says. Ids, accounts and leases, events, totals, rollups,
 * in that order and inside each by key, so that no two batches wait for each other in a circle. Ids are taken first: who
 * sends the same one waits here for the first one's commit. As in `quota_settle`, lists are walked once and plans pinned.
 * The last use moves only when a minute has passed: it is indexed, and a charge that leaves it is an update in place.
 */
const BOOK = `
CREATE FUNCTION usage_book(
  e_key uuid[], e_caller uuid[], e_id_hash bytea[], e_payload bytea[], e_reservation uuid[], e_month text[], e_reserved bigint[],
  e_amount bigint[], e_by text[], p_default bigint, h_event integer[], h_account uuid[], h_period text[], h_lease uuid[],
  e_id text[], e_requests integer[], e_input bigint[], e_output bigint[], e_model text[], e_chatbot text[], e_endpoint text[],
  e_status smallint[], e_latency float8[], e_occurred timestamptz[]
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
  v_repeats integer := 0;
  v_payload bytea[] := array_fill(NULL::bytea, ARRAY[v_count]);
  v_outcome text[];
  v_late boolean[];
  v_excess bigint[];
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
    FROM unnest(e_key, e_caller, e_id_hash, e_payload, e_reservation) AS e(key, caller, id_hash, payload, reservation)
    WHERE e.id_hash IS NOT NULL
    ORDER BY e.key, e.caller, e.id_hash
    ON CONFLICT DO NOTHING
    RETURNING uuid_send(u.key_id) || uuid_send(u.caller_id) || u.id_hash AS name
  )
  SELECT coalesce(array_agg(t.name), '{}') INTO v_taken FROM taken t;
  IF cardinality(v_taken) < v_usages THEN
    FOR v_row IN
      SELECT e.n, u.payload_hash FROM unnest(e_key, e_caller, e_id_hash) WITH ORDINALITY AS e(key, caller, id_hash, n)
      JOIN usage_id u ON u.key_id = e.key AND u.caller_id = e.caller AND u.id_hash = e.id_hash
      WHERE uuid_send(e.key) || uuid_send(e.caller) || e.id_hash <> ALL (v_taken)
    LOOP
      v_kind[v_row.n] := NULL;
      v_payload[v_row.n] := v_row.payload_hash;
      v_repeats := v_repeats + 1;
    END LOOP;
    -- Swept between the two statements: look once more.
    IF cardinality(v_taken) + v_repeats <> v_usages THEN
      RAISE EXCEPTION 'A usage id that was in the way is gone' USING ERRCODE = 'serialization_failure';
    END IF;
  END IF;
  SELECT array_agg(s.outcome ORDER BY s.event), array_agg(s.is_late ORDER BY s.event), array_agg(s.excess ORDER BY s.event)
    INTO v_outcome, v_late, v_excess
    FROM quota_settle(v_kind, e_key, e_reservation, v_month, e_reserved, e_amount, e_by, array_fill(p_default, ARRAY[v_count]),
      h_event, h_account, h_period, h_lease) s;
  IF array_remove(v_outcome, 'settled') <> '{}' THEN
    -- Nothing of these was applied: their ids stay free.
    DELETE FROM usage_id u
      USING unnest(e_key, e_caller, e_id_hash, v_kind, v_outcome) AS e(key, caller, id_hash, kind, outcome)
      WHERE e.kind = 'settle' AND e.outcome <> 'settled'
        AND u.key_id = e.key AND u.caller_id = e.caller AND u.id_hash = e.id_hash;
  END IF;
  INSERT INTO usage_event (key_id, caller_id, event_id, month, reservation_id, requests, input_tokens, output_tokens, cost_micro_cents,
                           model, chatbot, endpoint, status_code, latency_ms, occurred_at, is_late, excess_micro_cents)
    SELECT e.key, e.caller, e.id, e.month::date, e.reservation, e.requests, e.input, e.output, e.amount,
           coalesce(e.model, ''), e.chatbot, e.endpoint, e.status, e.latency, e.occurred, e.is_late, e.excess
    FROM unnest(v_outcome, e_key, e_caller, e_id, v_month, e_reservation, e_requests, e_input, e_output, e_amount, e_model, e_chatbot,
                e_endpoint, e_status, e_latency, e_occurred, v_late, v_excess)
         AS e(outcome, key, caller, id, month, reservation, requests, input, output, amount, model, chatbot,
              endpoint, status, latency, occurred, is_late, excess)
    WHERE e.outcome = 'settled';
  INSERT INTO key_totals AS t (key_id, requests, input_tokens, output_tokens, cost_micro_cents, last_used_at)
    SELECT e.key, sum(e.requests), sum(e.input), sum(e.output), sum(e.amount), now()
    FROM unnest(v_outcome, e_key, e_requests, e_input, e_output, e_amount) AS e(outcome, key, requests, input, output, amount)
    WHERE e.outcome = 'settled' GROUP BY e.key ORDER BY e.key
    ON CONFLICT (key_id) DO UPDATE
      SET requests = t.requests + EXCLUDED.requests, input_tokens = t.input_tokens + EXCLUDED.input_tokens,
          output_tokens = t.output_tokens + EXCLUDED.output_tokens, cost_micro_cents = t.cost_micro_cents + EXCLUDED.cost_micro_cents,
          last_used_at = CASE WHEN t.last_used_at > EXCLUDED.last_used_at - interval '1 minute' THEN t.last_used_at ELSE EXCLUDED.last_used_at END;
  INSERT INTO usage_rollup_hour AS r (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
    SELECT e.key, date_trunc('hour', now(), 'UTC'), coalesce(e.model, ''), sum(e.requests), sum(e.input), sum(e.output), sum(e.amount)
    FROM unnest(v_outcome, e_key, e_model, e_requests, e_input, e_output, e_amount)
         AS e(outcome, key, model, requests, input, output, amount)
    WHERE e.outcome = 'settled' GROUP BY e.key, coalesce(e.model, '') ORDER BY e.key, coalesce(e.model, '')
    ON CONFLICT (key_id, hour, model) DO UPDATE
      SET requests = r.requests + EXCLUDED.requests, input_tokens = r.input_tokens + EXCLUDED.input_tokens,
          output_tokens = r.output_tokens + EXCLUDED.output_tokens, cost_micro_cents = r.cost_micro_cents + EXCLUDED.cost_micro_cents;
  IF array_remove(v_outcome, 'settled') <> '{}' OR array_position(v_late, true) IS NOT NULL OR array_remove(v_excess, 0) <> '{}' THEN
    RETURN QUERY
      SELECT e.n::integer, CASE WHEN e.payload IS NOT NULL THEN 'repeated' ELSE e.outcome END, e.is_late, e.excess, e.payload
      FROM unnest(v_outcome, v_late, v_excess, v_payload) WITH ORDINALITY AS e(outcome, is_late, excess, payload, n)
      WHERE e.outcome <> 'settled' OR e.is_late OR e.excess > 0
      ORDER BY e.n;
  END IF;
END $$;
`;
