import type { Sql } from './sql.js';

/** The budgets of keys, for the transactions that create and change keys. Always inside the caller's transaction. */
export class BudgetAccountRepository {
  constructor(private readonly sql: Sql) {}

  /** Opens the account that every key has from birth. The key row must be there; a second time changes nothing. */
  async open(keyId: string): Promise<void> {
    await this.sql(
      `INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents)
       SELECT k.id, 'total', l.active, l.active
       FROM api_key k
       CROSS JOIN LATERAL (SELECT CASE WHEN k.budget_type = 'total' THEN k.budget_limit_micro_cents END AS active) l
       WHERE k.id = $1
       ON CONFLICT DO NOTHING`,
      [keyId],
    );
  }

  /**
   * Carries limit and type of the key row, which the caller has just written, to its accounts of now and later. The
   * floor is what the account holds at this moment, if that is more than the new limit: so much may remain, no more
   * may come. (The lowest floor ever, as an earlier draft had it, refuses the change once a limit has been raised,
   * used and lowered again.)
   */
  async changeLimit(keyId: string): Promise<void> {
    await this.sql(
      `UPDATE budget_account a
       SET limit_micro_cents = l.active,
         floor_micro_cents = CASE WHEN l.active IS NOT NULL
           THEN greatest(l.active, a.spent_micro_cents - a.overdraft_micro_cents + a.leased_micro_cents) END
       FROM (
         SELECT b.key_id, b.period, CASE WHEN k.budget_type = CASE b.period WHEN 'total' THEN 'total' ELSE 'monthly' END
           THEN k.budget_limit_micro_cents END AS active
         FROM api_key k JOIN budget_account b ON b.key_id = k.id
         WHERE k.id = $1 AND (b.period = 'total' OR b.period >= quota_month(quota_clock()))
         ORDER BY b.period FOR UPDATE OF b
       ) l
       WHERE a.key_id = l.key_id AND a.period = l.period`,
      [keyId],
    );
  }
}
