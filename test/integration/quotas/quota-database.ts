import { Client, Pool } from 'pg';
import type { QueryRunner } from 'typeorm';
import { Quotas1795300000000 } from '../../../src/database/migrations/1795300000000-quotas.js';
import type { Sql } from '../../../src/quotas/sql.js';
import { createTestDatabase } from '../../support/postgres.js';

/** A database with the quota tables, and with a clock that a test may set. */
export interface QuotaDatabase {
  readonly url: string;
  /** As the application's role, over a pool. */
  readonly sql: Sql;
  /** As the owner: forges and looks. */
  readonly asOwner: Sql;
  createKey(id: string, limit: bigint | null, type: 'total' | 'monthly'): Promise<void>;
  /** Stops the database's clock at an instant. */
  setClock(ms: number): Promise<void>;
  drop(): Promise<void>;
}

/** Only what the quotas need to know of a key, where the key's own migration has not made it. */
const API_KEY = `CREATE TABLE IF NOT EXISTS api_key (
  id uuid PRIMARY KEY, budget_limit_micro_cents bigint, budget_type text, rate_limit_per_minute int)`;

export async function createQuotaDatabase(): Promise<QuotaDatabase> {
  const database = await createTestDatabase();
  const owner = new Client({ connectionString: database.ownerUrl });
  await owner.connect();
  const pool = new Pool({ connectionString: database.appUrl, max: 40 });
  const asOwner: Sql = async (text, values) => (await owner.query(text, [...values])).rows;
  const has = async (table: string): Promise<boolean> => (await asOwner('SELECT to_regclass($1) AS it', [table]))[0]?.it !== null;
  if (!(await has('api_key'))) {
    await owner.query(API_KEY);
    await owner.query('GRANT SELECT, INSERT, UPDATE ON api_key TO latchkey_app');
  }
  if (!(await has('budget_account'))) {
    await new Quotas1795300000000().up({ query: (text: string) => owner.query(text) } as unknown as QueryRunner);
  }
  return {
    url: database.appUrl,
    sql: async (text, values) => (await pool.query(text, [...values])).rows,
    asOwner,
    createKey: async (id, limit, type) => {
      await asOwner('INSERT INTO api_key (id, budget_limit_micro_cents, budget_type) VALUES ($1, $2, $3)', [id, limit?.toString(), type]);
    },
    setClock: async (ms) => {
      await owner.query('CREATE TABLE IF NOT EXISTS test_clock (at timestamptz)');
      await owner.query('GRANT SELECT ON test_clock TO latchkey_app');
      await owner.query('DELETE FROM test_clock');
      await owner.query('INSERT INTO test_clock VALUES (to_timestamp($1::numeric / 1000))', [ms]);
      await owner.query('CREATE OR REPLACE FUNCTION quota_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT at FROM test_clock $$');
    },
    drop: async () => {
      await pool.end();
      await owner.end();
      await database.drop();
    },
  };
}
