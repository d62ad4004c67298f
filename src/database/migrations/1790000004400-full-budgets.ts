import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: when each account was last spent to its limit, noted by triggers.
 * Why: replicas learn within a second that a budget is full, and need not look at one that is not (docs/adr/0058).
 * Lock taken: ACCESS EXCLUSIVE on budget_account for as long as the catalog takes to write: no row is read, because the
 * column is nullable. Its index comes in the next migration. Can old code run against it: yes. The triggers act on
 * what it writes as well.
 */
export class FullBudgets1790000004400 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await createFunction(runner, 'quota_note_full');
    await runner.query(`ALTER TABLE budget_account ADD COLUMN full_at timestamptz`);
    await runner.query(`
      CREATE TRIGGER budget_account_note_full BEFORE UPDATE OF spent_micro_cents ON budget_account
        FOR EACH ROW WHEN (${isFull('NEW')} AND (${isFull('OLD')}) IS NOT TRUE) EXECUTE FUNCTION quota_note_full()`);
    await runner.query(`
      CREATE TRIGGER budget_account_open_full BEFORE INSERT ON budget_account
        FOR EACH ROW WHEN (${isFull('NEW')}) EXECUTE FUNCTION quota_note_full()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER budget_account_note_full ON budget_account`);
    await runner.query(`DROP TRIGGER budget_account_open_full ON budget_account`);
    await runner.query(`ALTER TABLE budget_account DROP COLUMN full_at`);
    await runner.query(`DROP FUNCTION quota_note_full`);
  }
}

/** NULL where nothing is limited. The clock is read for raised accounts alone. */
function isFull(row: 'OLD' | 'NEW'): string {
  return `${row}.spent_micro_cents >= ${row}.limit_micro_cents
          + CASE WHEN ${row}.raise_until > clock_timestamp() THEN ${row}.raise_micro_cents ELSE 0 END`;
}
