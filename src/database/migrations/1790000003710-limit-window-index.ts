import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: an index of the windows of limits.
 * Why: the accounts of a limit are listed, and those of which nothing counts any more are swept.
 * Lock taken: SHARE on rate_window while it is read once, for an index that holds no row yet: calls that take permits
 * wait, lookups do not.
 * Can old code run against it: yes.
 */
export class LimitWindowIndex1790000003710 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX rate_window_limit_idx ON rate_window (limit_id, member_id) WHERE limit_id IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX rate_window_limit_idx`);
  }
}
