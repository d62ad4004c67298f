import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: an index of usage events by key and time.
 * Why: single events can be read (`GET /usage/events`).
 * Lock taken: SHARE on usage_event while all events are read, about 1 s for a million: reports wait, or are answered 503
 * and come again. Verifies do not wait.
 * Can old code run against it: yes.
 */
export class EventsByKey1790000002000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE INDEX usage_event_key_idx ON usage_event (key_id, received_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX usage_event_key_idx`);
  }
}
