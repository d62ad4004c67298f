import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: an index of the accounts that were spent to their limit.
 * Why: each poll of each replica reads those of the last seconds.
 * Lock taken: SHARE on budget_account while it is read once, for an index that holds no row yet: calls that draw from
 * a budget wait, lookups do not. Can old code run against it: yes.
 */
export class IndexOfFullBudgets1790000004410 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE INDEX budget_account_full_idx ON budget_account (full_at) WHERE full_at IS NOT NULL`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX budget_account_full_idx`);
  }
}
