import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

const TABLES = ['audit_read', 'audit_read_checkpoint'] as const;

/**
 * What: a chain of its own for reads in the audit trail, its checkpoints, and how many keys each user has made today.
 * Why: a flood of reads neither delays a change at the head of the trail nor stays for ever; creations are bounded.
 * Lock taken: none that matters, all tables are new.
 * Can old code run against it: yes; it goes on recording reads among the changes, and does not show those in the new
 * tables.
 */
export class Floods1790000001500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_read_head (
        id          boolean NOT NULL DEFAULT true,
        seq         bigint  NOT NULL DEFAULT 0,
        audit_hash  bytea   NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
        CONSTRAINT audit_read_head_pkey PRIMARY KEY (id),
        CONSTRAINT audit_read_head_single_check CHECK (id)
      )`);
    await runner.query(`INSERT INTO audit_read_head DEFAULT VALUES`);
    await runner.query(`
      CREATE TABLE audit_read (
        seq             bigint      NOT NULL,
        id              uuid        NOT NULL,
        at              timestamptz NOT NULL,
        actor_kind      text        NOT NULL,
        actor_id        text,
        actor_owner_id  uuid,
        action          text        NOT NULL,
        resource_type   text        NOT NULL,
        resource_id     text,
        outcome         text        NOT NULL,
        ip              text,
        request_id      text,
        changes         jsonb       NOT NULL DEFAULT '[]',
        details         jsonb       NOT NULL DEFAULT '{}',
        body            text        NOT NULL,
        hash            bytea       NOT NULL,
        CONSTRAINT audit_read_pkey PRIMARY KEY (seq),
        CONSTRAINT audit_read_hash_check CHECK (octet_length(hash) = 32)
      )`);
    await runner.query(`CREATE INDEX audit_read_resource_idx ON audit_read (resource_type, resource_id, seq DESC)`);
    await runner.query(`CREATE INDEX audit_read_actor_idx ON audit_read (actor_id, seq DESC)`);
    await runner.query(`CREATE INDEX audit_read_action_idx ON audit_read (action, seq DESC)`);
    await runner.query(`CREATE INDEX audit_read_at_idx ON audit_read (at)`);
    // The line that was signed is stored as it is: it names both heads.
    await runner.query(`
      CREATE TABLE audit_read_checkpoint (
        seq   bigint      NOT NULL,
        at    timestamptz NOT NULL,
        line  jsonb       NOT NULL,
        CONSTRAINT audit_read_checkpoint_pkey PRIMARY KEY (seq)
      )`);
    await createFunction(runner, 'audit_read_refuse_delete');
    for (const table of TABLES) {
      await runner.query(`
        CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR TRUNCATE ON ${table}
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`);
      await runner.query(`
        CREATE TRIGGER ${table}_cut AFTER DELETE ON ${table} REFERENCING OLD TABLE AS removed
        FOR EACH STATEMENT EXECUTE FUNCTION audit_read_refuse_delete()`);
      // ALWAYS: also in a session that plays the replica of a replication.
      await runner.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${table}_append_only`);
      await runner.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${table}_cut`);
    }
    await runner.query(`
      CREATE TABLE creation_count (
        user_id  uuid    NOT NULL,
        day      date    NOT NULL,
        count    integer NOT NULL,
        CONSTRAINT creation_count_pkey PRIMARY KEY (user_id)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['creation_count', ...TABLES, 'audit_read_head']) await runner.query(`DROP TABLE ${table}`);
    await runner.query(`DROP FUNCTION audit_read_refuse_delete()`);
  }
}
