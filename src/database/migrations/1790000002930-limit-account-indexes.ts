import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: indexes of the accounts of limits, by limit and by end.
 * Why: the accounts of a limit are listed, and those whose period ended long ago are swept.
 * Lock taken: SHARE on budget_account while it is read twice, for indexes that hold no row yet: calls that draw from
 * a budget wait, lookups do not.
 * Can old code run against it: yes.
 */
export class LimitAccountIndexes1790000002930 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX budget_account_limit_idx ON budget_account (limit_id, period, member_id) WHERE limit_id IS NOT NULL`,
    );
    await runner.query(
      `CREATE INDEX budget_account_limit_end_idx ON budget_account (ends_at) WHERE limit_id IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX budget_account_limit_idx, budget_account_limit_end_idx`);
  }
}
