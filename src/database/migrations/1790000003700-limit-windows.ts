import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: limits of requests by minute and hour; the limit and member that a rate window is of.
 * Why: keys share rate limits as they share budgets (docs/adr/0047), and such windows are listed and swept.
 * Lock taken: ACCESS EXCLUSIVE on rate_window and quota_limit for as long as the catalog takes to write: no row is read,
 * because columns are nullable and constraints are not checked for rows that are there. The index follows in a
 * migration of its own, under a lock that lets windows be read.
 * Can old code run against it: yes. It has windows of keys alone, and does not enforce such limits, so they may begin
 * only when no such replica runs.
 */
export class LimitWindows1790000003700 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE rate_window ADD COLUMN limit_id uuid, ADD COLUMN member_id uuid`);
    await runner.query(`
      ALTER TABLE quota_limit
        DROP CONSTRAINT quota_limit_per_check,
        ADD CONSTRAINT quota_limit_per_check CHECK (
          (unit = 'slots') = (per IS NULL) AND (per IS NULL OR per IN ('day', 'week', 'month', 'total')
            OR unit = 'requests' AND per IN ('minute', 'hour') AND time_zone = 'UTC')) NOT VALID,
        ADD CONSTRAINT quota_limit_window_check CHECK (
          per IS NULL OR per NOT IN ('minute', 'hour') OR amount <= 1000000000) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS quota_limit_windows, limit_window_state, limit_windows_sweep, limit_account_id_2`);
    await runner.query(`DELETE FROM rate_window WHERE limit_id IS NOT NULL`);
    await runner.query(`DELETE FROM quota_limit WHERE per IN ('minute', 'hour')`);
    await runner.query(`
      ALTER TABLE quota_limit
        DROP CONSTRAINT quota_limit_window_check,
        DROP CONSTRAINT quota_limit_per_check,
        ADD CONSTRAINT quota_limit_per_check CHECK (
          (unit = 'slots') = (per IS NULL) AND (per IS NULL OR per IN ('day', 'week', 'month', 'total')))`);
    await runner.query(`ALTER TABLE rate_window DROP COLUMN limit_id, DROP COLUMN member_id`);
  }
}
