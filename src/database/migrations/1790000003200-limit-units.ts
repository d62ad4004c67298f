import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: limits of tokens, of requests and of calls in flight (`slots`) beside those of cents.
 * Why: what a key uses is bounded also where it has no price (docs/adr/0045).
 * Lock taken: ACCESS EXCLUSIVE on quota_limit for as long as the catalog takes to write: no row is read, because
 * constraints are not checked for rows that are there, and these are of cents.
 * Can old code run against it: yes. It does not enforce other units, so limits of them may begin only when no such
 * replica runs.
 */
export class LimitUnits1790000003200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE quota_limit
        ALTER COLUMN per DROP NOT NULL,
        DROP CONSTRAINT quota_limit_unit_check,
        ADD CONSTRAINT quota_limit_unit_check CHECK (unit IN ('cents', 'tokens', 'requests', 'slots')) NOT VALID,
        DROP CONSTRAINT quota_limit_per_check,
        ADD CONSTRAINT quota_limit_per_check CHECK (
          (unit = 'slots') = (per IS NULL) AND (per IS NULL OR per IN ('day', 'week', 'month', 'total'))) NOT VALID,
        DROP CONSTRAINT quota_limit_amount_check,
        ADD CONSTRAINT quota_limit_amount_check CHECK (
          amount >= 0 AND CASE unit WHEN 'cents' THEN true WHEN 'slots' THEN amount BETWEEN 1 AND 1000000
                                    ELSE amount <= 1000000000000 END) NOT VALID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DELETE FROM budget_lease b USING budget_account a, quota_limit l
       WHERE a.key_id = b.key_id AND a.period = b.period AND l.id = a.limit_id AND l.unit <> 'cents'`);
    await runner.query(
      `DELETE FROM budget_account a USING quota_limit l WHERE l.id = a.limit_id AND l.unit <> 'cents'`,
    );
    await runner.query(`DELETE FROM quota_limit WHERE unit <> 'cents'`);
    await runner.query(`
      ALTER TABLE quota_limit
        ALTER COLUMN per SET NOT NULL,
        DROP CONSTRAINT quota_limit_unit_check,
        ADD CONSTRAINT quota_limit_unit_check CHECK (unit = 'cents'),
        DROP CONSTRAINT quota_limit_per_check,
        ADD CONSTRAINT quota_limit_per_check CHECK (per IN ('day', 'week', 'month', 'total')),
        DROP CONSTRAINT quota_limit_amount_check,
        ADD CONSTRAINT quota_limit_amount_check CHECK (amount >= 0)`);
  }
}
