import { readFileSync } from 'node:fs';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Functions of this release; those they replace stay for the build before. */
const FUNCTIONS = ['quota_pull_back', 'quota_windows_2', 'quota_future_leases', 'quota_close_future'];

/**
 * What: a replica tells the others which history of the database it is in, and whether it has shown that nothing of
 * what it was granted is missing there. Rate windows and leases survive a clock that steps back.
 * Why: after a failover without loss limited keys need not wait for 10 s (docs/adr/0019).
 * Lock taken: `replica` exclusively for an instant; the new columns are nullable and have no default.
 * Can old code run against it: yes. It leaves the columns NULL, which the others take for "not heard".
 */
export class Failover1790000000800 implements MigrationInterface {
  name = 'Failover1790000000800';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE replica ADD COLUMN history text, ADD COLUMN is_history_whole boolean`);
    for (const name of FUNCTIONS) {
      await runner.query(readFileSync(new URL(`../functions/${name}.sql`, import.meta.url), 'utf8'));
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION quota_close_future, quota_future_leases, quota_windows_2, quota_pull_back`);
    await runner.query(`ALTER TABLE replica DROP COLUMN history, DROP COLUMN is_history_whole`);
  }
}
