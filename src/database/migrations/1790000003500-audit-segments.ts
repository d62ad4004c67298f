import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: which parts of the audit trail were moved to sealed segments, and which entries of them stay because they tell
 * the state of a thing; and a trigger that lets entries be removed as far as that, in place of one that refuses all.
 * Why: `AUDIT_KEEP_MONTHS` bounds how much of the trail the database has. Lock taken: SHARE ROW EXCLUSIVE on
 * `audit_event`, which waits for changes under way, and for no reader. Can old code run against it: yes, until the
 * first segment is sealed, which waits for its replicas to be gone; afterwards its doctor says that entries are missing.
 */
export class AuditSegments1790000003500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_segment (
        from_seq       bigint      NOT NULL,
        to_seq         bigint      NOT NULL,
        previous_hash  bytea       NOT NULL,
        hash           bytea       NOT NULL,
        summary        json        NOT NULL,
        sealed_at      timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT audit_segment_pkey PRIMARY KEY (to_seq),
        CONSTRAINT audit_segment_range_check CHECK (from_seq > 0 AND to_seq >= from_seq),
        CONSTRAINT audit_segment_hash_check CHECK (octet_length(previous_hash) = 32 AND octet_length(hash) = 32)
      )`);
    await runner.query(`
      CREATE TABLE audit_kept (
        seq       bigint NOT NULL,
        previous  bytea  NOT NULL,
        hash      bytea  NOT NULL,
        CONSTRAINT audit_kept_pkey PRIMARY KEY (seq),
        CONSTRAINT audit_kept_hash_check CHECK (octet_length(previous) = 32 AND octet_length(hash) = 32)
      )`);
    await createFunction(runner, 'audit_event_refuse_delete');
    await runner.query(`
      CREATE OR REPLACE TRIGGER audit_event_append_only BEFORE UPDATE OR TRUNCATE ON audit_event
      FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`);
    await runner.query(`
      CREATE TRIGGER audit_event_sealed AFTER DELETE ON audit_event REFERENCING OLD TABLE AS removed
      FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse_delete()`);
    // ALWAYS: also in a session that plays the replica of a replication.
    for (const trigger of ['audit_event_append_only', 'audit_event_sealed'])
      await runner.query(`ALTER TABLE audit_event ENABLE ALWAYS TRIGGER ${trigger}`);
    await createFunction(runner, 'audit_seal');
    // It has the rights of the schema's owner, and every login may call a function until this is said.
    await runner.query('REVOKE ALL ON FUNCTION audit_seal(bigint, bytea, json) FROM PUBLIC');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION audit_seal');
    await runner.query('DROP TRIGGER audit_event_sealed ON audit_event');
    await runner.query(`
      CREATE OR REPLACE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
      FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`);
    await runner.query('ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_append_only');
    await runner.query('DROP FUNCTION audit_event_refuse_delete');
    await runner.query('DROP TABLE audit_kept, audit_segment');
  }
}
