import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: what binds a password hash to its user.
 * Why: who can write to the database must not be able to give a user a password (docs/adr/0026).
 * Lock taken: ACCESS EXCLUSIVE on users for an instant: the new columns are nullable and have no default. Each of these
 * tables has a migration of its own: two locks at a time could block, and be blocked by, what needs both.
 * Can old code run against it: yes. It leaves the columns as they are, and this build binds what it stores.
 */
export class BoundPasswords1790000001400 implements MigrationInterface {
  name = 'BoundPasswords1790000001400';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE users
        ADD COLUMN password_binding bytea,
        ADD COLUMN password_binding_version text,
        ADD CONSTRAINT users_password_binding_check
          CHECK (octet_length(password_binding) = 32 AND password_binding_version IS NOT NULL OR password_binding IS NULL) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE users DROP COLUMN password_binding, DROP COLUMN password_binding_version`);
  }
}
