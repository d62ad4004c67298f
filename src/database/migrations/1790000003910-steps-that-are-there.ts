import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the steps of accounts of members whose period runs.
 * Why: accounts that were made before have none, and would be missing in lists.
 * Lock taken: the rows of these accounts until the end, in the order in which all lock them: calls that draw from them
 * wait for it. Can old code run against it: yes.
 */
export class StepsThatAreThere1790000003910 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      WITH known AS MATERIALIZED (
        SELECT a.key_id, a.period FROM budget_account a
         WHERE a.limit_id IS NOT NULL AND a.member_id IS NOT NULL AND a.used_step IS NULL AND a.ends_at > now()
         ORDER BY a.key_id, a.period FOR UPDATE
      )
      UPDATE budget_account a
         SET is_leased_used = s.is_leased_used, used_step = limit_used_step(CASE WHEN s.is_leased_used
               THEN saturating_add(a.spent_micro_cents, a.leased_micro_cents) ELSE a.spent_micro_cents END)
        FROM known k
        JOIN budget_account b ON b.key_id = k.key_id AND b.period = k.period
        CROSS JOIN LATERAL (SELECT (SELECT l.unit IN ('requests', 'slots') FROM quota_limit l WHERE l.id = b.limit_id) AS is_leased_used) s
       WHERE a.key_id = k.key_id AND a.period = k.period`);
  }

  /** The columns go with the migration before. */
  async down(): Promise<void> {}
}
