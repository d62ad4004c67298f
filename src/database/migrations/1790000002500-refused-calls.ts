import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: the last refused calls of each key, in partitions of six hours, and how many rows there are of all keys.
 * Why: a count by code does not tell which client was refused, nor what it asked for. Rows have addresses of clients, so
 * they go with their partition after 48 hours; what comes within the bounds is decided by `refused_calls_note`.
 * Lock taken: none on a table that is there already.
 * Can old code run against it: yes; it does not know the tables, and records no refused calls.
 */
export class RefusedCalls1790000002500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE refused_call (
        key_id            uuid             NOT NULL,
        seq               bigint           NOT NULL,
        at                timestamptz      NOT NULL,
        code              text             NOT NULL,
        detail            text,
        via               text             NOT NULL,
        ip                text,
        environment       text,
        model             text,
        chatbot           text,
        scopes            text[]           NOT NULL DEFAULT '{}',
        scopes_left_out   integer          NOT NULL DEFAULT 0,
        cost              integer,
        reserve_cents     double precision,
        request_id        text,
        client_request_id text,
        asked_by_kind     text,
        asked_by          uuid,
        CONSTRAINT refused_call_pkey PRIMARY KEY (key_id, seq, at),
        CONSTRAINT refused_call_via_check CHECK (via IN ('verify', 'introspect', 'gateway')),
        CONSTRAINT refused_call_asked_by_check
          CHECK (asked_by_kind IN ('key', 'user') AND asked_by IS NOT NULL OR asked_by_kind IS NULL AND asked_by IS NULL)
      ) PARTITION BY RANGE (at)`);
    await runner.query(`CREATE INDEX refused_call_at_idx ON refused_call (at)`);
    await runner.query(`
      CREATE TABLE refused_call_total (
        id   smallint NOT NULL DEFAULT 1,
        rows bigint   NOT NULL,
        CONSTRAINT refused_call_total_pkey PRIMARY KEY (id),
        CONSTRAINT refused_call_total_id_check CHECK (id = 1),
        CONSTRAINT refused_call_total_rows_check CHECK (rows >= 0)
      ) WITH (fillfactor = 50)`);
    await runner.query(`INSERT INTO refused_call_total (rows) VALUES (0)`);
    await createFunction(runner, 'refused_calls_prepare');
    await createFunction(runner, 'refused_calls_note');
    await runner.query(`SELECT refused_calls_prepare()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION refused_calls_note, refused_calls_prepare`);
    await runner.query(`DROP TABLE refused_call, refused_call_total`);
  }
}
