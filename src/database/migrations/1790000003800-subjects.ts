import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: limits with an account for each subject, which is the end user of a key as a caller names it; what such
 * accounts are of, and how many there are in a period; the subject of an event.
 * Why: a service bounds each of its users, whose keys are one and the same (docs/adr/0048).
 * Lock taken: ACCESS EXCLUSIVE on quota_limit and on usage_event for as long as the catalog takes to write: no row is
 * read, because the column is nullable and the constraint is not checked for rows that are there. It waits for
 * statements on them that run.
 * Can old code run against it: yes. It would take such a limit for one with an account for each owner, so these may
 * begin only when no such replica runs. It books events without their subject.
 */
export class Subjects1790000003800 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE quota_limit
        DROP CONSTRAINT quota_limit_each_check,
        ADD CONSTRAINT quota_limit_each_check CHECK (
          each IS NULL OR each = 'key' AND target_kind <> 'key' OR each = 'owner' AND target_kind IN ('project', 'installation')
          OR each = 'subject' AND per IS DISTINCT FROM 'total') NOT VALID`);
    for (const statement of TABLES) await runner.query(statement);
    await runner.query(`ALTER TABLE usage_event ADD COLUMN subject text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DELETE FROM budget_lease b USING budget_account a, quota_limit l
       WHERE a.key_id = b.key_id AND a.period = b.period AND l.id = a.limit_id AND l.each = 'subject'`);
    await runner.query(
      `DELETE FROM budget_account a USING quota_limit l WHERE l.id = a.limit_id AND l.each = 'subject'`,
    );
    await runner.query(`DELETE FROM quota_limit WHERE each = 'subject'`);
    await runner.query(`
      DROP FUNCTION IF EXISTS usage_book_6, limits_of_reports_3, quota_settle_with_limits, quota_settle_5, limit_accounts_charge,
        limit_accounts_prepare, quota_acquire_limits_2, quota_give_back_3, quota_renew_2, limit_account_named_2, limit_subjects_note,
        limit_subjects_sweep, limit_subject_id`);
    await runner.query(`ALTER TABLE usage_event DROP COLUMN subject`);
    await runner.query(`DROP TABLE limit_subject, limit_subject_count`);
    await runner.query(`
      ALTER TABLE quota_limit
        DROP CONSTRAINT quota_limit_each_check,
        ADD CONSTRAINT quota_limit_each_check CHECK (
          each IS NULL OR each = 'key' AND target_kind <> 'key' OR each = 'owner' AND target_kind IN ('project', 'installation'))`);
  }
}

/** A subject has a row for each limit. Its text is null once it was erased. */
const TABLES = [
  `CREATE TABLE limit_subject (
    account_id uuid        NOT NULL,
    limit_id   uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    subject    text,
    -- The last one in which it was seen; total: of calls in flight, which have none.
    period     text        NOT NULL COLLATE "C",
    seen_at    timestamptz NOT NULL,
    CONSTRAINT limit_subject_pkey PRIMARY KEY (account_id),
    CONSTRAINT limit_subject_limit_fkey FOREIGN KEY (limit_id) REFERENCES quota_limit (id) ON DELETE CASCADE,
    CONSTRAINT limit_subject_text_check CHECK (subject ~ '^[!-~]{1,128}$')
  )`,
  `CREATE INDEX limit_subject_member_idx ON limit_subject (limit_id, member_id)`,
  `CREATE INDEX limit_subject_id_idx ON limit_subject (member_id)`,
  `CREATE INDEX limit_subject_seen_idx ON limit_subject (period, seen_at)`,
  // Parts, so that sessions that count new subjects at the same time do not wait for each other.
  `CREATE TABLE limit_subject_count (
    limit_id uuid    NOT NULL,
    period   text    NOT NULL COLLATE "C",
    part     integer NOT NULL,
    subjects bigint  NOT NULL,
    CONSTRAINT limit_subject_count_pkey PRIMARY KEY (limit_id, period, part),
    CONSTRAINT limit_subject_count_limit_fkey FOREIGN KEY (limit_id) REFERENCES quota_limit (id) ON DELETE CASCADE
  )`,
];
