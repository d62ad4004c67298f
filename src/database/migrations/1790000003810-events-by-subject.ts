import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: an index of the events that name a subject.
 * Why: the text of a subject is erased from its events, and sums of one subject are read.
 * Lock taken: SHARE on each partition of usage_event while it is read once, for an index that holds no row yet: reports
 * wait, reads do not.
 * Can old code run against it: yes.
 */
export class EventsBySubject1790000003810 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX usage_event_subject_idx ON usage_event (subject, received_at) WHERE subject IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX usage_event_subject_idx`);
  }
}
