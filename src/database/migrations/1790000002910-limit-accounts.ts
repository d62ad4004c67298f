import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: accounts of limits (their limit, member and end; periods that are any date), and what each usage event charged:
 * its project, and the accounts of limits with their periods.
 * Why: an account of a limit is made, charged, recomputed and swept like that of a key (docs/adr/0043, docs/adr/0044).
 * Lock taken: ACCESS EXCLUSIVE on budget_account and usage_event for as long as the catalog takes to write. No row of
 * usage_event is read: columns are nullable, and constraints are not checked for rows that are there. budget_account is
 * read once for an index that holds no account yet.
 * Can old code run against it: yes. It makes and charges accounts of keys alone, and events that charged no limit.
 */
export class LimitAccounts1790000002910 implements MigrationInterface {
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
    await runner.query(`
      CREATE INDEX budget_account_limit_idx ON budget_account (limit_id, period, member_id)
        WHERE limit_id IS NOT NULL`);
    await runner.query(`
      ALTER TABLE usage_event
        ADD COLUMN project_id       uuid,
        ADD COLUMN charged_accounts uuid[],
        ADD COLUMN charged_periods  text[],
        ADD CONSTRAINT usage_event_charged_check CHECK (
          cardinality(charged_accounts) IS NOT DISTINCT FROM cardinality(charged_periods)) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION IF EXISTS quota_acquire_limits, quota_look_at_limits, quota_periods, quota_settle_3, usage_book_4,
        limit_accounts_open, limit_accounts_refresh, limit_accounts_sweep, limits_of_reports, limit_account_named, limit_account_id, limit_matches`);
    await runner.query(`DELETE FROM budget_lease l USING budget_account a
      WHERE a.key_id = l.key_id AND a.period = l.period AND a.limit_id IS NOT NULL`);
    await runner.query(`DELETE FROM budget_account WHERE limit_id IS NOT NULL`);
    await runner.query(`
      ALTER TABLE usage_event DROP COLUMN project_id, DROP COLUMN charged_accounts, DROP COLUMN charged_periods`);
    await runner.query(`
      ALTER TABLE budget_account
        DROP COLUMN limit_id, DROP COLUMN member_id, DROP COLUMN ends_at,
        DROP CONSTRAINT budget_account_period,
        ADD CONSTRAINT budget_account_period CHECK (period = 'total' OR period ~ '^[0-9]{4}-(0[1-9]|1[0-2])-01$')`);
  }
}
