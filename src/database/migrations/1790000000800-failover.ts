import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: a replica tells the others which history of the database it is in, and whether it has shown that nothing of
 * what it was granted is missing there.
 * Why: after a failover without loss limited keys need not wait for 10 s (docs/adr/0019).
 * Lock taken: `replica` exclusively for an instant; the new columns are nullable and have no default.
 * Can old code run against it: yes. It leaves the columns NULL, which the others take for "not heard".
 */
export class Failover1790000000800 implements MigrationInterface {
  name = 'Failover1790000000800';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE replica ADD COLUMN history text, ADD COLUMN is_history_whole boolean`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP FUNCTION IF EXISTS quota_close_future, quota_future_leases, quota_windows_2, quota_pull_back`,
    );
    await runner.query(`ALTER TABLE replica DROP COLUMN history, DROP COLUMN is_history_whole`);
  }
}
