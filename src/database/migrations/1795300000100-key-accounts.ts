import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: every key has its total account from birth, and a change of its budget reaches its accounts.
 * Why triggers: keys are made and changed by many doors (create, by alias, import, bulk). A door that forgot would make
 * keys whose usage is refused, or whose budget stays as it was. The statements are those of `BudgetAccountRepository`.
 * Lock taken: SHARE ROW EXCLUSIVE on api_key, for an instant.
 * Can old code run against it: yes.
 */
export class KeyAccounts1795300000100 implements MigrationInterface {
  name = 'KeyAccounts1795300000100';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE FUNCTION api_key_open_account() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents)
        SELECT NEW.id, 'total', l.active, l.active
          FROM (SELECT CASE WHEN NEW.budget_type = 'total' THEN NEW.budget_limit_micro_cents END AS active) l
        ON CONFLICT DO NOTHING;
        RETURN NULL;
      END $$`);
    await runner.query(`
      CREATE FUNCTION api_key_change_limit() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        UPDATE budget_account a
           SET limit_micro_cents = l.active,
               floor_micro_cents = CASE WHEN l.active IS NOT NULL
                 THEN greatest(l.active, a.spent_micro_cents - a.overdraft_micro_cents + a.leased_micro_cents) END
          FROM (
            SELECT b.key_id, b.period,
                   CASE WHEN NEW.budget_type = CASE b.period WHEN 'total' THEN 'total' ELSE 'monthly' END THEN NEW.budget_limit_micro_cents END AS active
              FROM budget_account b
             WHERE b.key_id = NEW.id AND (b.period = 'total' OR b.period >= quota_month(quota_clock()))
             ORDER BY b.period FOR UPDATE
          ) l
         WHERE a.key_id = l.key_id AND a.period = l.period;
        RETURN NULL;
      END $$`);
    await runner.query(`
      CREATE TRIGGER api_key_open_account AFTER INSERT ON api_key
      FOR EACH ROW EXECUTE FUNCTION api_key_open_account()`);
    await runner.query(`
      CREATE TRIGGER api_key_change_limit AFTER UPDATE OF budget_limit_micro_cents, budget_type ON api_key
      FOR EACH ROW WHEN (OLD.budget_limit_micro_cents IS DISTINCT FROM NEW.budget_limit_micro_cents OR OLD.budget_type IS DISTINCT FROM NEW.budget_type)
      EXECUTE FUNCTION api_key_change_limit()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER api_key_change_limit ON api_key`);
    await runner.query(`DROP TRIGGER api_key_open_account ON api_key`);
    await runner.query(`DROP FUNCTION api_key_change_limit, api_key_open_account`);
  }
}
