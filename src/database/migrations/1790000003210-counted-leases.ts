import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: a kind of lease whose use counts when a call is admitted.
 * Why: limits of requests are counted at the verdict, and never by reports (docs/adr/0045): what closes such a lease
 * has to add what was used of it to what is spent.
 * Lock taken: ACCESS EXCLUSIVE on budget_lease for as long as the catalog takes to write: no row is read.
 * Can old code run against it: yes. It makes leases of the other kinds, and would hand those of this kind back whole; so
 * limits of requests begin only when no such replica runs.
 */
export class CountedLeases1790000003210 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE budget_lease
        DROP CONSTRAINT budget_lease_kind,
        ADD CONSTRAINT budget_lease_kind CHECK (kind IN ('pooled', 'own', 'default', 'counted')) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS quota_give_back_2, quota_close_future_2`);
    await runner.query(`DELETE FROM budget_lease WHERE kind = 'counted'`);
    await runner.query(`
      ALTER TABLE budget_lease
        DROP CONSTRAINT budget_lease_kind,
        ADD CONSTRAINT budget_lease_kind CHECK (kind IN ('pooled', 'own', 'default'))`);
  }
}
