import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/** @see src/database/functions/saturated.sql */
const END = '9000000000000000000';

/**
 * What: the functions of sums that saturate; totals and accounts that are already above the end come down to it.
 * Why: a sum beyond 64 bits was an exception in the statement that books the reports of all callers (docs/adr/0031).
 * Lock taken: one read of key_totals and budget_account, beside readers and writers; rows above the end are locked.
 * Can old code run against it: yes. It adds as before, and refuses the event whose sum passes 64 bits.
 */
export class TotalsThatCannotBreak1790000001800 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const name of ['saturated', 'saturating_add']) await createFunction(runner, name);
    await runner.query(`
      UPDATE key_totals
         SET requests = least(requests, ${END}), input_tokens = least(input_tokens, ${END}),
             output_tokens = least(output_tokens, ${END}), cost_micro_cents = least(cost_micro_cents, ${END})
       WHERE greatest(requests, input_tokens, output_tokens, cost_micro_cents) > ${END}`);
    // An overdraft is a part of what was spent, so it comes down by as much: the overspend constraint stays as it was.
    await runner.query(`
      UPDATE budget_account
         SET spent_micro_cents = ${END},
             overdraft_micro_cents = greatest(0, overdraft_micro_cents - (spent_micro_cents - ${END}))
       WHERE spent_micro_cents > ${END}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS usage_book_2, quota_settle_2`);
    await runner.query(`DROP FUNCTION saturated, saturating_add`);
  }
}
