import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the cost centre of a key.
 * Why: reports of costs are booked by it.
 * Lock taken: ACCESS EXCLUSIVE on api_key for a moment; no row is read or written.
 * Can old code run against it: yes. It neither reads nor writes the column.
 */
export class CostCentre1790000002990 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_key ADD COLUMN cost_centre text');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_key DROP COLUMN cost_centre');
  }
}
