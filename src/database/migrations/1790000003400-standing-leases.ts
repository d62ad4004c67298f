import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: nothing of the tables. It stands for the functions that count permits of standing leases (docs/adr/0040).
 * Why: with the build before, `down` has to take them away.
 * Lock taken: none.
 * Can old code run against it: yes. It counts permits of standing leases like any others, as they are in the same lists.
 */
export class StandingLeases1790000003400 implements MigrationInterface {
  async up(): Promise<void> {
    // The functions are made from src/database/functions after the migrations.
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS quota_windows_3, quota_pull_back_2`);
  }
}
