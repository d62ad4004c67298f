import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { FULL_BUDGETS } from '../../../src/key-cache/feed/feed-rows.js';
import { MOST_TOLD_FULL } from '../../../src/quotas/full-notices.js';
import { createQuotaDatabase } from './quota-database.js';
import type { QuotaDatabase } from './quota-database.js';

const LIMIT = 1_000n;
const CHARGE = 'SELECT usage_charge(ARRAY[$1::uuid], ARRAY[$2::bigint], $3)';
/** As a build of before charges, which may run beside this one. */
const OLDER_CHARGE = `SELECT * FROM quota_settle_5(ARRAY['settle'], ARRAY[$1::uuid], ARRAY[NULL::uuid], ARRAY[$3::text], ARRAY[0::bigint],
  ARRAY[$2::bigint], ARRAY['e'], ARRAY[0::bigint], '{}', '{}', '{}', '{}')`;

describe('budgets that are full, as a poll reads them', () => {
  let database: QuotaDatabase;
  let key: string;
  let month: string;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    [{ month }] = (await database.sql('SELECT quota_month(quota_clock()) AS month', [])) as [{ month: string }];
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    await database.asOwner('UPDATE budget_account SET full_at = NULL WHERE full_at IS NOT NULL', []);
    key = randomUUID();
    await database.createKey(key, LIMIT, 'total');
    // Makes the account of the month as well, which `usage_charge` leaves to it.
    await database.sql(OLDER_CHARGE, [key, '1', month]);
  });

  const told = async (): Promise<string[] | null> =>
    ((await database.sql(`SELECT (${FULL_BUDGETS}) AS full`, [])) as [{ full: string[] | null }])[0].full;

  async function connected<T>(run: (client: Client) => Promise<T>): Promise<T> {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    try {
      return await run(client);
    } finally {
      await client.end();
    }
  }

  it.each([
    ['a charge', CHARGE],
    ['a charge of an older build', OLDER_CHARGE],
  ])('are told once %s has spent them to their limit, and not before', async (_, charge) => {
    await database.sql(charge, [key, (LIMIT - 2n).toString(), month]);
    expect(await told()).toEqual([]);
    await database.sql(charge, [key, '1', month]);
    expect(await told()).toEqual([key]);
  });

  it('are told when their month is made by the charge that fills it', async () => {
    const monthly = randomUUID();
    await database.createKey(monthly, LIMIT, 'monthly');
    await database.sql(OLDER_CHARGE, [monthly, LIMIT.toString(), month]);
    expect(await told()).toEqual([monthly]);
  });

  it('are told when a charge commits after a poll that came later than its mark', () =>
    connected(async (client) => {
      await client.query('BEGIN');
      await client.query(CHARGE, [key, LIMIT.toString(), month]);
      expect(await told()).toEqual([]);
      await client.query('COMMIT');
      expect(await told()).toEqual([key]);
    }));

  it('are no longer told once the limit is more, nor while it is raised', async () => {
    await database.sql(CHARGE, [key, LIMIT.toString(), month]);
    await database.asOwner(
      `UPDATE api_key SET budget_raise = jsonb_build_object('cents', 1, 'until', now() + interval '1 hour') WHERE id = $1`,
      [key],
    );
    expect(await told()).toEqual([]);
    await database.asOwner('UPDATE api_key SET budget_raise = NULL WHERE id = $1', [key]);
    expect(await told()).toEqual([key]);
    await database.asOwner('UPDATE api_key SET budget_limit_micro_cents = 2000 WHERE id = $1', [key]);
    expect(await told()).toEqual([]);
  });

  it('are too many to be told beyond a thousand', async () => {
    await database.asOwner(
      `INSERT INTO budget_account (key_id, period, limit_micro_cents, spent_micro_cents, overdraft_micro_cents)
       SELECT gen_random_uuid(), 'total', 1, 1, 0 FROM generate_series(1, $1::integer)`,
      [MOST_TOLD_FULL],
    );
    expect(await told()).toHaveLength(MOST_TOLD_FULL);
    await database.sql(CHARGE, [key, LIMIT.toString(), month]);
    expect(await told()).toBeNull();
  });

  it('are found by their index where PostgreSQL has no statistics, as after pg_upgrade', async () => {
    await database.asOwner('BEGIN', []);
    await database.asOwner('SET LOCAL random_page_cost = 4', []);
    await database.asOwner(
      `INSERT INTO budget_account (key_id, period, limit_micro_cents) SELECT gen_random_uuid(), 'total', n % 2
         FROM generate_series(1, 60000) n`,
      [],
    );
    await database.asOwner('ANALYZE budget_account (key_id)', []);
    const plan = await database.asOwner(`EXPLAIN SELECT (${FULL_BUDGETS})`, []);
    await database.asOwner('ROLLBACK', []);
    expect(JSON.stringify(plan)).toContain('budget_account_full_idx');
    expect(JSON.stringify(plan)).not.toContain('Seq Scan');
  });

  it('move no index with a charge that leaves them as they are', () =>
    connected(async (client) => {
      // In a page of its own size the row has room for its versions.
      await database.asOwner('VACUUM FULL budget_account', []);
      const moved = async (amount: bigint): Promise<number> => {
        await client.query('BEGIN');
        await client.query(CHARGE, [key, amount.toString(), month]);
        const { rows } = await client.query(
          `SELECT pg_stat_get_xact_tuples_updated(c) - pg_stat_get_xact_tuples_hot_updated(c) AS moved
             FROM (SELECT 'budget_account'::regclass::oid AS c) t`,
        );
        await client.query('COMMIT');
        return Number((rows[0] as { moved: string }).moved);
      };
      // From 1 in 1 000 to 2: the same whole percent.
      expect(await moved(1n)).toBe(0);
      // A later charge of a full budget is at 1 000 percent, the most that is told apart.
      await database.sql(CHARGE, [key, (20n * LIMIT).toString(), month]);
      expect(await told()).toEqual([key]);
      expect(await moved(1n)).toBe(0);
    }));
});
