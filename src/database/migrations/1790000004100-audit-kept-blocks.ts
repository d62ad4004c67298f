import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: a hash of each block of kept entries, triggers that note which blocks change, and the function that hashes those
 * alone. Why: each segment that is sealed hashed all entries that stay. Lock taken: SHARE ROW EXCLUSIVE on audit_kept for
 * the triggers, and on audit_segment, while all rows are hashed once: no segment is sealed meanwhile, and everything is
 * read. Here no statement is ended by its time. Can old code run against it: yes; a replica of an earlier build hashes
 * all entries itself, and gets the same.
 */
export class AuditKeptBlocks1790000004100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_kept_block (
        block    bigint   NOT NULL,
        entries  integer,
        sha256   bytea,
        CONSTRAINT audit_kept_block_pkey PRIMARY KEY (block),
        CONSTRAINT audit_kept_block_hash_check CHECK ((entries IS NULL) = (sha256 IS NULL) AND octet_length(sha256) = 32)
      )`);
    await createFunction(runner, 'audit_kept_changed');
    for (const [event, rows] of [
      ['INSERT', 'NEW'],
      ['DELETE', 'OLD'],
    ] as const)
      await runner.query(`
        CREATE TRIGGER audit_kept_${event.toLowerCase()} AFTER ${event} ON audit_kept REFERENCING ${rows} TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION audit_kept_changed()`);
    await runner.query('INSERT INTO audit_kept_block (block) SELECT DISTINCT seq / 4096 FROM audit_kept');
    await createFunction(runner, 'audit_kept_digest');
    await runner.query('SELECT FROM audit_kept_digest()');
    // It has the rights of the schema's owner, and every login may call a function until this is said.
    await runner.query('REVOKE ALL ON FUNCTION audit_kept_digest() FROM PUBLIC');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION audit_kept_digest');
    await runner.query('DROP TRIGGER audit_kept_insert ON audit_kept');
    await runner.query('DROP TRIGGER audit_kept_delete ON audit_kept');
    await runner.query('DROP FUNCTION audit_kept_changed');
    await runner.query('DROP TABLE audit_kept_block');
  }
}
