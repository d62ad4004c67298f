import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: the tokens that events of an archived month charged to each account.
 * Why: accounts of limits of tokens must still be comparable with the events that they count.
 * Lock taken: ACCESS EXCLUSIVE on usage_archived_account for as long as the catalog takes to write: the default is
 * constant, so no row is written.
 * Can old code run against it: yes. It archives with the function of before, and there are no limits of tokens then.
 */
export class ArchivedTokens1790000003230 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `ALTER TABLE usage_archived_account ADD COLUMN charged_tokens numeric NOT NULL DEFAULT 0`,
    );
    await createFunction(runner, 'usage_event_archive_2');
    // It has the rights of the schema's owner, and every login may call a function until this is said.
    await runner.query(
      `REVOKE ALL ON FUNCTION usage_event_archive_2(date, text, bytea, bigint, numeric, numeric, numeric, numeric) FROM PUBLIC`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION usage_event_archive_2`);
    await runner.query(`ALTER TABLE usage_archived_account DROP COLUMN charged_tokens`);
  }
}
