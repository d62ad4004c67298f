import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the tokens that an event charged to limits of tokens.
 * Why: a report that names no tokens counts as those that were reserved, so the sum of an account cannot be found from
 * the tokens of its events (docs/adr/0045).
 * Lock taken: ACCESS EXCLUSIVE on usage_event for as long as the catalog takes to write: no row is read, because the
 * column is nullable. It waits for statements on events that run.
 * Can old code run against it: yes. It charges no limit of tokens.
 */
export class ChargedTokens1790000003220 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE usage_event ADD COLUMN charged_tokens bigint`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS usage_book_5, quota_settle_4, limits_of_reports_2`);
    await runner.query(`ALTER TABLE usage_event DROP COLUMN charged_tokens`);
  }
}
