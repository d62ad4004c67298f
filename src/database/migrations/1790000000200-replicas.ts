import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the replicas that run, and how far each has applied changes.
 * Why: `?wait=true` returns when all of them have; `GET /system/replicas` shows them.
 * Lock taken: none, the table is new. Its rows are updated once a second each, hence room on the page for HOT updates.
 * Can old code run against it: yes.
 */
export class Replicas1790000000200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE replica (
        id           uuid        NOT NULL,
        applied_seq  bigint      NOT NULL,
        lag_ms       integer,
        beats        bigint      NOT NULL DEFAULT 0,
        started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
        seen_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT replica_pkey PRIMARY KEY (id)
      ) WITH (fillfactor = 50)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE replica`);
  }
}
