import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: an index of the accounts of a period whose budget is raised.
 * Why: a forecast looks for raised accounts among those that have spent more than their limit, which may be very many.
 * Lock taken: SHARE on budget_account while it is read once for an index that holds few rows.
 * Can old code run against it: yes.
 */
export class RaisedAccounts1790000003150 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX budget_account_raised_idx ON budget_account (period, raise_until) WHERE raise_until IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX budget_account_raised_idx`);
  }
}
