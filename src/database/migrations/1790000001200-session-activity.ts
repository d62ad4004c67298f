import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: when a session was last used, and from which address and browser it was opened.
 * Why: a session that is not used ends (`SESSION_IDLE_SECONDS`), and people see and end their own (docs/adr/0024).
 * Lock taken: ACCESS EXCLUSIVE on `session` for a moment: the new columns have no default.
 * Can old code run against it: yes. It leaves the columns NULL; the time of opening stands in for the last use.
 */
export class SessionActivity1790000001200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE session
        ADD COLUMN last_active_at timestamptz,
        ADD COLUMN ip text,
        ADD COLUMN user_agent text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE session DROP COLUMN last_active_at, DROP COLUMN ip, DROP COLUMN user_agent`);
  }
}
