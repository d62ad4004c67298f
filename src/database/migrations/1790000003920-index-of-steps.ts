import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: an index of the accounts of members of limits, by step.
 * Why: those of which most is used are found without looking at all.
 * Lock taken: SHARE on budget_account while it is read once: calls that draw from a budget wait, lookups do not.
 * Can old code run against it: yes.
 */
export class IndexOfSteps1790000003920 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX budget_account_step_idx ON budget_account (limit_id, period, used_step DESC) WHERE member_id IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX budget_account_step_idx`);
  }
}
