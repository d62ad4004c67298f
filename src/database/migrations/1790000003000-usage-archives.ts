import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: which months of usage events were archived and dropped, with the sums of their events by key and budget month,
 * and what they charged to accounts of limits. Why: events go into files when `USAGE_EVENTS_KEEP_MONTHS` says so, and
 * totals and accounts must still be comparable with the events that they count. Lock taken: none on a table that is
 * there already. Can old code run against it: yes. Its doctor finds totals above the events that are left, once a month
 * is archived.
 */
export class UsageArchives1790000003000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE usage_archive (
        month        date        NOT NULL,
        file         text        NOT NULL,
        sha256       bytea       NOT NULL,
        events       bigint      NOT NULL,
        archived_at  timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT usage_archive_pkey PRIMARY KEY (month),
        CONSTRAINT usage_archive_month_check CHECK (extract(day FROM month) = 1),
        CONSTRAINT usage_archive_content_check CHECK (octet_length(sha256) = 32 AND events >= 0)
      )`);
    await runner.query(`
      CREATE TABLE usage_archived_sum (
        archive_month     date    NOT NULL,
        key_id            uuid    NOT NULL,
        month             date    NOT NULL,
        events            bigint  NOT NULL,
        requests          numeric NOT NULL,
        input_tokens      numeric NOT NULL,
        output_tokens     numeric NOT NULL,
        cost_micro_cents  numeric NOT NULL,
        CONSTRAINT usage_archived_sum_pkey PRIMARY KEY (archive_month, key_id, month),
        CONSTRAINT usage_archived_sum_archive_fkey FOREIGN KEY (archive_month) REFERENCES usage_archive (month)
      )`);
    await runner.query(`
      CREATE TABLE usage_archived_account (
        archive_month     date    NOT NULL,
        account_id        uuid    NOT NULL,
        period            text    NOT NULL COLLATE "C",
        cost_micro_cents  numeric NOT NULL,
        CONSTRAINT usage_archived_account_pkey PRIMARY KEY (account_id, period, archive_month),
        CONSTRAINT usage_archived_account_archive_fkey FOREIGN KEY (archive_month) REFERENCES usage_archive (month)
      )`);
    await createFunction(runner, 'usage_event_archive');
    // It has the rights of the schema's owner, and every login may call a function until this is said.
    await runner.query(
      `REVOKE ALL ON FUNCTION usage_event_archive(date, text, bytea, bigint, numeric, numeric, numeric, numeric) FROM PUBLIC`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION usage_event_archive`);
    await runner.query(`DROP TABLE usage_archived_account, usage_archived_sum, usage_archive`);
  }
}
