import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: what each usage event charged: its project, and the accounts of limits with their periods.
 * Why: an account of a limit is recomputed from the events that name it (docs/adr/0043, docs/adr/0044).
 * Lock taken: ACCESS EXCLUSIVE on usage_event for as long as the catalog takes to write: no row is read, because
 * columns are nullable and the constraint is not checked for rows that are there. It waits for statements on events
 * that run. Can old code run against it: yes. It books events that charged no limit.
 */
export class LimitAccounts1790000002910 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE usage_event
        ADD COLUMN project_id       uuid,
        ADD COLUMN charged_accounts uuid[],
        ADD COLUMN charged_periods  text[],
        ADD CONSTRAINT usage_event_charged_check CHECK (
          cardinality(charged_accounts) IS NOT DISTINCT FROM cardinality(charged_periods)) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS usage_book_4, limits_of_reports, limit_account_id, limit_matches`);
    await runner.query(`
      ALTER TABLE usage_event DROP COLUMN project_id, DROP COLUMN charged_accounts, DROP COLUMN charged_periods`);
  }
}
