import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: accounts of limits: their limit, member and end; periods that are any date.
 * Why: an account of a limit is made, charged and swept like that of a key (docs/adr/0043, docs/adr/0044).
 * Lock taken: ACCESS EXCLUSIVE on budget_account for as long as the catalog takes to write: no row is read, because
 * columns are nullable and constraints are not checked for rows that are there. Indexes follow in a migration of their
 * own, under a lock that lets accounts be read. Can old code run against it: yes. It makes and charges accounts of keys
 * alone.
 */
export class AccountsOfLimits1790000002920 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE budget_account
        ADD COLUMN limit_id  uuid,
        ADD COLUMN member_id uuid,
        ADD COLUMN ends_at   timestamptz,
        ADD CONSTRAINT budget_account_limit CHECK (
          limit_id IS NOT NULL OR member_id IS NULL AND ends_at IS NULL) NOT VALID,
        DROP CONSTRAINT budget_account_period,
        ADD CONSTRAINT budget_account_period CHECK (
          period = 'total' OR period ~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$') NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION IF EXISTS quota_acquire_limits, quota_look_at_limits, quota_periods, quota_settle_3, limit_accounts_open,
        limit_accounts_refresh, limit_accounts_sweep, limit_account_named`);
    await runner.query(`DELETE FROM budget_lease l USING budget_account a
      WHERE a.key_id = l.key_id AND a.period = l.period AND a.limit_id IS NOT NULL`);
    await runner.query(`DELETE FROM budget_account WHERE limit_id IS NOT NULL`);
    await runner.query(`
      ALTER TABLE budget_account
        DROP COLUMN limit_id, DROP COLUMN member_id, DROP COLUMN ends_at,
        DROP CONSTRAINT budget_account_period,
        ADD CONSTRAINT budget_account_period CHECK (period = 'total' OR period ~ '^[0-9]{4}-(0[1-9]|1[0-2])-01$')`);
  }
}
