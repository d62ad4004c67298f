import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: at which step each account of a member of a limit is, kept by triggers.
 * Why: accounts are listed by what is used of them, however many a limit has (docs/adr/0050).
 * Lock taken: ACCESS EXCLUSIVE on budget_account for as long as the catalog takes to write: no row is read, because
 * columns are nullable. Accounts that are there get their steps in the next migration, their index in the one after
 * it. Can old code run against it: yes. The triggers act on what it writes as well.
 */
export class StepsOfAccounts1790000003900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const name of FUNCTIONS) await createFunction(runner, name);
    await runner.query(`ALTER TABLE budget_account ADD COLUMN used_step smallint, ADD COLUMN is_leased_used boolean`);
    // Accounts of keys, and those that all calls of a limit share, do not pay for this.
    await runner.query(`
      CREATE TRIGGER budget_account_open_step BEFORE INSERT ON budget_account
        FOR EACH ROW WHEN (NEW.member_id IS NOT NULL) EXECUTE FUNCTION limit_account_open_step()`);
    await runner.query(`
      CREATE TRIGGER budget_account_move_step BEFORE UPDATE OF spent_micro_cents, leased_micro_cents ON budget_account
        FOR EACH ROW WHEN (NEW.member_id IS NOT NULL AND (OLD.spent_micro_cents <> NEW.spent_micro_cents
          OR OLD.leased_micro_cents <> NEW.leased_micro_cents)) EXECUTE FUNCTION limit_account_move_step()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER budget_account_open_step ON budget_account`);
    await runner.query(`DROP TRIGGER budget_account_move_step ON budget_account`);
    await runner.query(`ALTER TABLE budget_account DROP COLUMN used_step, DROP COLUMN is_leased_used`);
    await runner.query(`DROP FUNCTION limit_account_open_step, limit_account_move_step, limit_used_step`);
  }
}

const FUNCTIONS = ['limit_used_step', 'limit_account_open_step', 'limit_account_move_step'];
