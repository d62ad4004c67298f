import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: what an account has spent elsewhere, before its key was imported.
 * Why: it counts against the budget and is no usage: the doctor compares what is spent with usage and this together.
 * Lock taken: ACCESS EXCLUSIVE on budget_account for as long as the catalog takes to write; no row is read or written.
 * Can old code run against it: yes; its doctor calls accounts of imported keys that carry spend a difference.
 */
export class CarriedSpend1790000000900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // NOT VALID: rows of today have the default, which is right, and are not read.
    await runner.query(`
      ALTER TABLE budget_account
        ADD COLUMN carried_micro_cents bigint NOT NULL DEFAULT 0,
        ADD CONSTRAINT budget_account_carried CHECK (carried_micro_cents BETWEEN 0 AND spent_micro_cents) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE budget_account DROP COLUMN carried_micro_cents`);
  }
}
