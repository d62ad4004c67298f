import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: whether entries of the audit trail may be removed once they are sealed, and how old they have to be: one row,
 * which the owner of the schema writes and the application reads; and the function that goes by it. Why: a process that works
 * with the login of the servers could remove entries older than 35 days as if they were sealed, also where nothing is
 * to be sealed. Lock taken: none on tables that were there. Can old code run against it: yes; a replica of an earlier
 * build seals nothing from then on, because the function that it calls is the owner's alone.
 */
export class AuditSealing1790000004050 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_sealing (
        id           boolean  NOT NULL DEFAULT true,
        keep_months  integer  NOT NULL,
        CONSTRAINT audit_sealing_pkey PRIMARY KEY (id),
        CONSTRAINT audit_sealing_one_check CHECK (id),
        CONSTRAINT audit_sealing_keep_months_check CHECK (keep_months >= 2)
      )`);
    await createFunction(runner, 'audit_seal_2');
    // It has the rights of the schema's owner, and every login may call a function until this is said.
    await runner.query('REVOKE ALL ON FUNCTION audit_seal_2(bigint, bytea, json) FROM PUBLIC');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION audit_seal_2');
    await runner.query('DROP TABLE audit_sealing');
  }
}
