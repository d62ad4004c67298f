import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: whether usage events may leave the database, and how old they have to be: one row, which the owner of the schema
 * writes and the application reads; and the function that goes by it. Why: a process that works with the login of the
 * servers could drop any month that has been over for 35 days as if it were archived. Lock taken: none on tables that were
 * there. Can old code run against it: yes; a replica of an earlier build archives nothing from then on, because the
 * function that it calls is the owner's alone.
 */
export class UsageArchiving1790000004060 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE usage_archiving (
        id           boolean  NOT NULL DEFAULT true,
        keep_months  integer  NOT NULL,
        CONSTRAINT usage_archiving_pkey PRIMARY KEY (id),
        CONSTRAINT usage_archiving_one_check CHECK (id),
        CONSTRAINT usage_archiving_keep_months_check CHECK (keep_months >= 2)
      )`);
    await createFunction(runner, 'usage_event_archive_3');
    // It has the rights of the schema's owner, and every login may call a function until this is said.
    await runner.query(
      'REVOKE ALL ON FUNCTION usage_event_archive_3(date, text, bytea, bigint, numeric, numeric, numeric, numeric) FROM PUBLIC',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION usage_event_archive_3');
    await runner.query('DROP TABLE usage_archiving');
  }
}
