import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: a table of batches that are booked and not yet in totals and rollups (docs/adr/0053).
 * Why: a batch updated two rows of sums for each key in it, under locks. It is one row now, and sums grow once a second.
 * Lock taken: none on what is there.
 * Can old code run against it: yes. It adds to totals and rollups itself, and reads them without what is pending: up to a
 * second of reports. Before `down`, all of it is added to the sums.
 */
export class UsageSummedLater1790000004000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE usage_pending (
        id               bigint      GENERATED ALWAYS AS IDENTITY,
        booked_at        timestamptz NOT NULL DEFAULT now(),
        keys             uuid[]      NOT NULL,
        models           text[]      NOT NULL,
        versions         bigint[]    NOT NULL,
        requests         integer[]   NOT NULL,
        input_tokens     bigint[]    NOT NULL,
        output_tokens    bigint[]    NOT NULL,
        cost_micro_cents bigint[]    NOT NULL,
        CONSTRAINT usage_pending_pkey PRIMARY KEY (id)
      )`);
    // A row lives for a second: to compress it costs more than to write it.
    await runner.query(
      `ALTER TABLE usage_pending ${LISTS.map((name) => `ALTER COLUMN ${name} SET STORAGE EXTERNAL`).join(', ')}`,
    );
    // Rows go as fast as they come.
    await runner.query(
      `ALTER TABLE usage_pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    // Where no function was made yet, nothing was booked by one.
    await runner.query(`DO $$ BEGIN
        IF to_regproc('usage_roll_up') IS NOT NULL THEN PERFORM usage_roll_up(2147483647); END IF;
      END $$`);
    await runner.query(`DROP FUNCTION IF EXISTS usage_charge, usage_roll_up, usage_pending_rows, key_last_used`);
    await runner.query(`DROP TABLE usage_pending`);
  }
}

const LISTS = ['keys', 'models', 'versions', 'requests', 'input_tokens', 'output_tokens', 'cost_micro_cents'];
