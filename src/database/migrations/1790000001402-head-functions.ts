import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: what a replica's build does; functions that move the head of the audit trail with the rights of their owner.
 * Why: who can write to the database must not be able to move the head (docs/adr/0026).
 * Lock taken: ACCESS EXCLUSIVE on replica for an instant: the new column is nullable and has no default.
 * Can old code run against it: yes. It leaves the column NULL, and updates the head by itself, for which it keeps the
 * right while such a replica is alive (migrate.ts).
 */
export class HeadFunctions1790000001402 implements MigrationInterface {
  name = 'HeadFunctions1790000001402';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE replica ADD COLUMN build_level smallint`);
    for (const name of ['audit_move_head', 'audit_name_key']) await createFunction(runner, name);
    await runner.query(
      `REVOKE ALL ON FUNCTION audit_move_head(bigint, bytea, text), audit_name_key(text) FROM PUBLIC`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION audit_move_head, audit_name_key`);
    await runner.query(`ALTER TABLE replica DROP COLUMN build_level`);
  }
}
