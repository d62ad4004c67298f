import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: usage ids, usage events by month, totals and hourly rollups of keys, verdicts counted by minute.
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
    await runner.query(`CREATE INDEX usage_event_key_idx ON usage_event (key_id, received_at)`);
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
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER api_key_add_totals ON api_key`);
    await runner.query(`DROP TRIGGER api_key_keep_totals ON api_key`);
    await runner.query(`DROP FUNCTION key_totals_add, key_totals_keep`);
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
