import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: what binds a password hash to its user, and an imported secret to its key; what a replica's build does; functions
 * that move the head of the audit trail with the rights of their owner.
 * Why: who can write to the database must not be able to give a credential to another, nor to move the head
 * (docs/adr/0026).
 * Lock taken: ACCESS EXCLUSIVE on users, api_key_secret and replica for an instant: the new columns are nullable and have
 * no default.
 * Can old code run against it: yes. It leaves the columns NULL, which this build binds while such a replica is alive, and
 * updates the head by itself, for which it keeps the right as long (migrate.ts).
 */
export class BoundCredentials1790000001400 implements MigrationInterface {
  name = 'BoundCredentials1790000001400';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE users
        ADD COLUMN password_binding bytea,
        ADD COLUMN password_binding_version text,
        ADD CONSTRAINT users_password_binding_check
          CHECK (octet_length(password_binding) = 32 AND password_binding_version IS NOT NULL OR password_binding IS NULL) NOT VALID`);
    await runner.query(`
      ALTER TABLE api_key_secret
        ADD COLUMN binding bytea,
        ADD CONSTRAINT api_key_secret_binding_check CHECK (octet_length(binding) = 32) NOT VALID`);
    await runner.query(`ALTER TABLE replica ADD COLUMN build_level smallint`);
    for (const name of ['audit_move_head', 'audit_name_key']) await createFunction(runner, name);
    await runner.query(`REVOKE ALL ON FUNCTION audit_move_head(bigint, bytea, text), audit_name_key(text) FROM PUBLIC`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION audit_move_head, audit_name_key`);
    await runner.query(`ALTER TABLE replica DROP COLUMN build_level`);
    await runner.query(`ALTER TABLE api_key_secret DROP COLUMN binding`);
    await runner.query(`ALTER TABLE users DROP COLUMN password_binding, DROP COLUMN password_binding_version`);
  }
}
