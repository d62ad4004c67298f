import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: a raise of the budget of a key until an instant, and the same on the accounts that it limits.
 * Why: more money for a while, without anybody who has to remember its end: the limit that holds is calculated where an account
 * is locked or read, from the clock (docs/adr/0037).
 * Lock taken: ACCESS EXCLUSIVE on api_key and on budget_account while their rows are read once for the checks; none is
 * written.
 * Can old code run against it: yes. It grants up to the limit without the raise; triggers keep the raise on accounts that
 * it makes or changes.
 */
export class BudgetRaises1790000002450 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_key
        ADD COLUMN budget_raise jsonb,
        ADD CONSTRAINT api_key_budget_raise_check CHECK (budget_raise IS NULL OR (
          jsonb_typeof(budget_raise->'cents') = 'number' AND jsonb_typeof(budget_raise->'until') = 'string'
          AND (budget_raise->>'cents')::numeric BETWEEN 0 AND 1000000000) IS TRUE)`);
    await runner.query(`
      ALTER TABLE budget_account
        ADD COLUMN raise_micro_cents bigint,
        ADD COLUMN raise_until timestamptz,
        ADD CONSTRAINT budget_account_raise CHECK ((raise_micro_cents IS NULL) = (raise_until IS NULL)
          AND raise_micro_cents >= 0)`);
    for (const name of ['quota_raise', 'quota_change_raise', 'quota_take_raise']) await createFunction(runner, name);
    // By its name the trigger acts after api_key_change_limit, and finds the accounts with their new limits.
    await runner.query(`
      CREATE TRIGGER api_key_change_raise AFTER UPDATE OF budget_limit_micro_cents, budget_type, budget_raise ON api_key
        FOR EACH ROW WHEN ((OLD.budget_raise IS NOT NULL OR NEW.budget_raise IS NOT NULL) AND (
          OLD.budget_limit_micro_cents IS DISTINCT FROM NEW.budget_limit_micro_cents
          OR OLD.budget_type IS DISTINCT FROM NEW.budget_type OR OLD.budget_raise IS DISTINCT FROM NEW.budget_raise))
        EXECUTE FUNCTION quota_change_raise()`);
    // Charges make accounts too, without a limit: they do not pay for this.
    await runner.query(`
      CREATE TRIGGER budget_account_take_raise BEFORE INSERT ON budget_account
        FOR EACH ROW WHEN (NEW.limit_micro_cents IS NOT NULL) EXECUTE FUNCTION quota_take_raise()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER budget_account_take_raise ON budget_account`);
    await runner.query(`DROP TRIGGER api_key_change_raise ON api_key`);
    await runner.query(`DROP FUNCTION IF EXISTS quota_acquire_budgets_2, quota_look_at_budgets_2`);
    await runner.query(`DROP FUNCTION quota_change_raise, quota_take_raise, quota_raise`);
    await runner.query(`ALTER TABLE budget_account DROP COLUMN raise_micro_cents, DROP COLUMN raise_until`);
    await runner.query(`ALTER TABLE api_key DROP COLUMN budget_raise`);
  }
}
