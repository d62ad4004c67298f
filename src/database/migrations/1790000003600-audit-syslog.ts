import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: up to which entries receivers of syslog have taken the audit trail. Why: `AUDIT_SYSLOG_URL` sends it, and every
 * replica goes on where another one ended. Lock taken: none on a table that is there already. Can old code run against
 * it: yes, it sends nothing.
 */
export class AuditSyslog1790000003600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_syslog (
        receiver     text        NOT NULL COLLATE "C",
        changes_seq  bigint      NOT NULL,
        reads_seq    bigint      NOT NULL,
        noted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT audit_syslog_pkey PRIMARY KEY (receiver),
        CONSTRAINT audit_syslog_places_check CHECK (changes_seq >= 0 AND reads_seq >= 0)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE audit_syslog`);
  }
}
