import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the latest expiry that the owner of a key may reach.
 * Why: an expiry that an administrator chose must outlast a renewal by the owner.
 * Lock taken: ACCESS EXCLUSIVE on api_key for as long as the catalog takes to write; no row is read or written.
 * Can old code run against it: yes. It leaves the column alone, so a renewal there can pass it.
 */
export class FixedExpiry1790000001300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key ADD COLUMN max_expires_at timestamptz`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_key DROP COLUMN max_expires_at`);
  }
}
