import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: which environment's keys a service verifies with its own key; the type of the budget that a key had last.
 * Why: a service of production must be able to refuse keys of tests, whatever it asks. A budget that is taken away and
 * given again keeps its type.
 * Lock taken: ACCESS EXCLUSIVE on api_key while its rows are read once for the checks; none is written.
 * Can old code run against it: yes. It writes neither column, and verifies keys of both environments, as before.
 */
export class VerifiedEnvironment1790000002100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_key
        ADD COLUMN verifies_environment text NOT NULL DEFAULT 'any',
        ADD COLUMN last_budget_type text,
        ADD CONSTRAINT api_key_verifies_environment_check CHECK (verifies_environment IN ('any', 'live', 'test')),
        ADD CONSTRAINT api_key_last_budget_type_check CHECK (last_budget_type IN ('total', 'monthly'))`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key DROP COLUMN verifies_environment, DROP COLUMN last_budget_type`);
  }
}
