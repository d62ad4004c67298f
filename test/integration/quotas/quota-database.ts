import { Client, Pool } from 'pg';
import type { Sql } from '../../../src/quotas/sql.js';
import { createTestDatabase } from '../../support/postgres.js';

const OWNER = '00000000-0000-7000-8000-000000000001';

/** A database with the quota tables, and with a clock that a test may set. */
export interface QuotaDatabase {
  readonly url: string;
  /** As the application's role, over a pool. */
  readonly sql: Sql;
  /** As the owner: forges and looks. */
  readonly asOwner: Sql;
  createKey(id: string, limit: bigint | null, type: 'total' | 'monthly'): Promise<void>;
  /** How many subjects of a limit are noted, and how many its count says, which bounds them. */
  countSubjects(limitId: string): Promise<[rows: number, counted: number]>;
  /** Stops the database's clock at an instant. */
  setClock(ms: number): Promise<void>;
  drop(): Promise<void>;
}

export async function createQuotaDatabase(): Promise<QuotaDatabase> {
  const database = await createTestDatabase();
  const owner = new Client({ connectionString: database.ownerUrl });
  await owner.connect();
  const pool = new Pool({ connectionString: database.appUrl, max: 40 });
  const asOwner: Sql = async (text, values) => (await owner.query(text, [...values])).rows;
  await owner.query(`INSERT INTO users (id, name, kind) VALUES ('${OWNER}', 'Owner of the keys', 'service')`);
  return {
    url: database.appUrl,
    sql: async (text, values) => (await pool.query(text, [...values])).rows,
    asOwner,
    createKey: async (id, limit, type) => {
      await asOwner(
        `INSERT INTO api_key (id, owner_id, name, environment, budget_limit_micro_cents, budget_type) VALUES ($1, $2, 'Key', 'live', $3, $4)`,
        [id, OWNER, limit?.toString(), limit === null ? null : type],
      );
    },
    countSubjects: async (limitId) => {
      const [row] = await asOwner(
        `SELECT (SELECT count(*)::int FROM limit_subject WHERE limit_id = $1) AS rows,
                (SELECT coalesce(sum(subjects), 0)::int FROM limit_subject_count WHERE limit_id = $1) AS counted`,
        [limitId],
      );
      return [row!['rows'] as number, row!['counted'] as number];
    },
    setClock: async (ms) => {
      await owner.query('CREATE TABLE IF NOT EXISTS test_clock (at timestamptz)');
      await owner.query('GRANT SELECT ON test_clock TO latchkey_app');
      await owner.query('DELETE FROM test_clock');
      await owner.query('INSERT INTO test_clock VALUES (to_timestamp($1::numeric / 1000))', [ms]);
      await owner.query(
        'CREATE OR REPLACE FUNCTION quota_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT at FROM test_clock $$',
      );
    },
    drop: async () => {
      await pool.end();
      await owner.end();
      await database.drop();
    },
  };
}
