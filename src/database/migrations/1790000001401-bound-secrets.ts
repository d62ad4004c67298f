import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: what binds an imported secret to its key.
 * Why: who can write to the database must not be able to move it to another key (docs/adr/0026).
 * Lock taken: ACCESS EXCLUSIVE on api_key_secret for an instant: the new column is nullable and has no default.
 * Can old code run against it: yes. It leaves the column NULL, and this build binds what it stores.
 */
export class BoundSecrets1790000001401 implements MigrationInterface {
  name = 'BoundSecrets1790000001401';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_key_secret
        ADD COLUMN binding bytea,
        ADD CONSTRAINT api_key_secret_binding_check CHECK (octet_length(binding) = 32) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key_secret DROP COLUMN binding`);
  }
}
