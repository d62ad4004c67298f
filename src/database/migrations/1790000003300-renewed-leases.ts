import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: since when a lease has had the hold that it has now.
 * Why: a reservation is renewed, so that a call may take longer than was thought (docs/adr/0046). The janitor closes a
 * lease once it has watched the clock for its whole hold: of a renewed one, since it was renewed.
 * Lock taken: ACCESS EXCLUSIVE on budget_lease for an instant (a column without a default).
 * Can old code run against it: yes. Its janitor watches for longer, from the grant on.
 */
export class RenewedLeases1790000003300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE budget_lease ADD COLUMN held_from timestamptz`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP FUNCTION IF EXISTS quota_close_expired_3, quota_free_slots, quota_future_leases_2, quota_renew, quota_take_slots`,
    );
    await runner.query(`ALTER TABLE budget_lease DROP COLUMN held_from`);
  }
}
