import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { limitRowChanged } from '../../../src/quotas/limits/limit-accounts.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import type { Account, AcquireAnswer, BudgetRequest, Hold } from '../../../src/quotas/quota-store.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { entryOf } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { accountOfLimit, insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const AT_ONCE = 32;
const CALLER = randomUUID();
const TERMS = { defaultHold: 0n, ceiling: 10n ** 15n };

describe('Accounts of limits in PostgreSQL', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let store: PostgresQuotaStore;
  let writer: UsageWriter;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    pool = await new DataSource({
      type: 'postgres',
      url: database.url,
      poolSize: 20,
      installExtensions: false,
    }).initialize();
    store = new PostgresQuotaStore(database.sql);
    writer = new UsageWriter(pool, TERMS);
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    await database.asOwner('DELETE FROM budget_lease', []);
    await database.asOwner('DELETE FROM budget_account WHERE limit_id IS NOT NULL', []);
    await database.asOwner('DELETE FROM quota_limit', []);
    await database.asOwner('DELETE FROM usage_event', []);
  });

  const create = (draft: Parameters<typeof insertLimit>[1]) => insertLimit(database.asOwner, draft);
  const newKey = async (): Promise<string> => {
    const id = randomUUID();
    await database.createKey(id, null, 'total');
    return id;
  };
  /** One call over several accounts: with leases of its own where it lives long. */
  const call = (
    accounts: readonly Account[],
    amount: bigint,
    isLong: boolean,
    leases: readonly string[] = accounts.map(() => randomUUID()),
  ): Promise<AcquireAnswer> =>
    store.acquire({
      replicaId: 'one',
      liveReplicas: 3,
      windows: [],
      budgets: accounts.map((account, index): BudgetRequest => ({
        ...{ account, kind: 'pooled' as const, leaseId: isLong ? randomUUID() : leases[index]!, want: 0n },
        needs: [
          isLong ? { amount, own: { leaseId: leases[index]!, ttlSeconds: 300 }, joint: 1 } : { amount, own: null },
        ],
      })),
    });
  const isGranted = ({ budgets }: AcquireAnswer): boolean => budgets.every(({ verdicts }) => verdicts[0] === true);
  const sums = async (limit: LimitRow, member: string | null = null): Promise<unknown> => {
    const rows = await database.asOwner(
      `SELECT sum(spent_micro_cents)::int AS spent, sum(leased_micro_cents)::int AS leased, sum(overdraft_micro_cents)::int AS overdraft
         FROM budget_account WHERE key_id = $1`,
      [accountOfLimit(limit, member).id],
    );
    return rows[0];
  };
  const report = (keyId: string, costMicroCents: bigint, model: string | null = null, holds: Hold[] | null = null) =>
    entryOf(CALLER, {
      ...{ id: randomUUID(), keyId, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents, model },
      ...{ chatbot: null, endpoint: null, statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
      reservation:
        holds === null
          ? null
          : {
              ...{ keyId, reservationId: randomUUID(), callerId: CALLER, amount: 100n, tokens: 0n },
              month: '2026-11-01',
              ...{ expiresAtMs: 0, isDefaultHold: false, holds },
            },
    });

  it.each([false, true])(
    'give no more than their amounts to calls at once, in any order (long: %s)',
    async (isLong) => {
      const [wide, narrow] = [await create({ amount: 1_000n }), await create({ amount: 700n, per: 'day' })];
      const accounts = [accountOfLimit(wide), accountOfLimit(narrow)];
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, index) =>
          call(index % 2 === 0 ? accounts : [...accounts].reverse(), 60n, isLong),
        ),
      );
      const granted = answers.filter(isGranted).length;
      expect(granted).toBe(11);
      expect(await sums(narrow)).toEqual({ spent: 0, leased: 660, overdraft: 0 });
      // A call that is refused as a whole has taken nothing anywhere; slices that it did not need are of use to others.
      expect(await sums(wide)).toEqual({ spent: 0, leased: isLong ? 660 : 960, overdraft: 0 });
    },
  );

  it('tell a call that is refused as a whole which account refused it', async () => {
    const [wide, narrow] = [await create({ amount: 1_000n }), await create({ amount: 10n })];
    const { budgets } = await call([accountOfLimit(wide), accountOfLimit(narrow)], 60n, true);
    expect(budgets.map(({ verdicts }) => verdicts)).toEqual([[null], [false]]);
    expect([await sums(wide), await sums(narrow)]).toEqual([
      { spent: 0, leased: 0, overdraft: 0 },
      { spent: 0, leased: 0, overdraft: 0 },
    ]);
  });

  it('are made once when many members and many calls are the first at once', async () => {
    const limit = await create({ amount: 100n, each: 'key' });
    const keys = await Promise.all(Array.from({ length: 4 }, newKey));
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) => call([accountOfLimit(limit, keys[index % 4])], 30n, false)),
    );
    expect(answers.filter(isGranted)).toHaveLength(12);
    for (const key of keys) expect(await sums(limit, key)).toEqual({ spent: 0, leased: 90, overdraft: 0 });
  });

  it('follow their rule while calls are under way: what is held may remain, no more may come', async () => {
    const before = await create({ amount: 10_000n });
    const after = { ...before, amount: 100n };
    const calls = Array.from({ length: AT_ONCE }, () => call([accountOfLimit(before)], 60n, false));
    const change = pool.transaction(async (tx) => {
      await tx.query('UPDATE quota_limit SET amount = 100 WHERE id = $1', [before.id]);
      await limitRowChanged(tx, before, after);
    });
    await Promise.all([change, ...calls]);
    const held = await sums(before);
    expect((await call([accountOfLimit(before)], 60n, false)).budgets[0]!.verdicts).toEqual([false]);
    expect(await sums(before)).toEqual(held);
    await expect(limitRowChanged(pool.manager, before, { ...after, per: 'day' })).rejects.toThrow('never changes');
  });

  it('end the leases of an override with it', async () => {
    const limit = await create({ amount: 10n, each: 'key' });
    const key = await newKey();
    await database.asOwner(
      `INSERT INTO quota_limit_override (limit_id, member_id, amount, until) VALUES ($1, $2, 500, quota_clock() + interval '20 s')`,
      [limit.id, key],
    );
    const { budgets } = await call([accountOfLimit(limit, key)], 300n, false);
    expect([budgets[0]!.verdicts, budgets[0]!.limit]).toEqual([[true], 500n]);
    expect(budgets[0]!.admitForMs).toBeLessThanOrEqual(20_000);
  });

  it('are charged by reports that reserved nothing: what binds key and model as of now, each once', async () => {
    const key = await newKey();
    const all = await create({ amount: 1_000n, per: 'month' });
    const each = await create({ amount: 5n, each: 'owner', mode: 'observe' });
    const other = await create({ amount: 1_000n, models: ['claude-*'] });
    const ended = await create({ amount: 1_000n, endedAt: new Date() });
    const [owner] = await database.asOwner('SELECT owner_id AS id FROM api_key WHERE id = $1', [key]);
    const batches = Array.from({ length: 8 }, () => [report(key, 10n, 'gpt-4'), report(key, 1n)]);
    for (const results of await Promise.all(batches.map((batch) => writer.write(batch))))
      for (const { outcome } of results) expect(outcome).toBe('accepted');
    expect(await sums(all)).toMatchObject({ spent: 88 });
    expect(await sums(each, owner!.id as string)).toEqual({ spent: 88, leased: 0, overdraft: 0 });
    expect(await sums(other)).toMatchObject({ spent: 8 });
    expect(await sums(ended)).toMatchObject({ spent: null });
    const [event] = await database.asOwner(
      `SELECT charged_accounts AS accounts FROM usage_event WHERE key_id = $1 AND model = 'gpt-4' LIMIT 1`,
      [key],
    );
    expect([...(event!.accounts as string[])].sort()).toEqual(
      [accountOfLimit(all).id, accountOfLimit(each, owner!.id as string).id].sort(),
    );
  });

  it('are charged as the reservation says, though the key has moved and the account was swept', async () => {
    const key = await newKey();
    const limit = await create({ amount: 1_000n, per: 'day', each: 'owner' });
    const [owner] = await database.asOwner('SELECT owner_id AS id FROM api_key WHERE id = $1', [key]);
    const former = owner!.id as string;
    const next = randomUUID();
    await database.asOwner(`INSERT INTO users (id, name, kind) VALUES ($1, 'Next', 'service')`, [next]);
    await database.asOwner('UPDATE api_key SET owner_id = $2 WHERE id = $1', [key, next]);
    const hold = { accountId: accountOfLimit(limit, former).id, period: '2026-01-05', leaseId: randomUUID() };
    const [result] = await writer.write([report(key, 70n, null, [hold])]);
    expect(result).toMatchObject({ outcome: 'accepted', isLate: true });
    const [row] = await database.asOwner(
      `SELECT period, limit_id, member_id, spent_micro_cents::int AS spent, ends_at FROM budget_account WHERE key_id = $1`,
      [hold.accountId],
    );
    expect(row).toMatchObject({ period: hold.period, limit_id: limit.id, member_id: former, spent: 70 });
    expect(row!.ends_at).toEqual(new Date('2026-01-06T00:00:00Z'));
    const [swept] = await database.sql('SELECT limit_accounts_sweep(100) AS swept', []);
    expect(swept!.swept).toBe(1);
  });

  it('are swept in parts, those that ended first before the others, and limits that ended with the last of theirs', async () => {
    const key = await newKey();
    const [daily, total] = [await create({ amount: 9n, per: 'day' }), await create({ amount: 9n })];
    const hold = (accountId: string, period: string) => ({ accountId, period, leaseId: randomUUID() });
    for (const period of ['2026-01-07', '2026-01-05', '2026-01-06'])
      await writer.write([report(key, 1n, null, [hold(daily.id, period)])]);
    await writer.write([report(key, 1n, null, [hold(total.id, 'total')])]);
    const left = async () =>
      (await database.asOwner('SELECT period FROM budget_account WHERE limit_id IS NOT NULL ORDER BY 1', [])).map(
        ({ period }) => period as string,
      );
    const sweep = async (rows: number) =>
      (await database.sql('SELECT limit_accounts_sweep($1) AS swept', [rows]))[0]!.swept as number;
    expect([await sweep(1), await left()]).toEqual([1, ['2026-01-06', '2026-01-07', 'total']]);
    expect([await sweep(3), await left()]).toEqual([2, ['total']]);
    await database.asOwner(`UPDATE quota_limit SET ended_at = now() - interval '36 days'`, []);
    // As many as it may: there may be more, so limits are left for the next time.
    expect([await sweep(1), await left()]).toEqual([1, []]);
    expect(await database.asOwner('SELECT FROM quota_limit', [])).toHaveLength(2);
    expect(await sweep(1)).toBe(0);
    expect(await database.asOwner('SELECT FROM quota_limit', [])).toHaveLength(0);
  });

  it('are found among thousands of limits of others without a look at them', async () => {
    const [key, project] = [await newKey(), randomUUID()];
    await database.asOwner('UPDATE api_key SET project_id = $2 WHERE id = $1', [key, project]);
    const [owner] = await database.asOwner('SELECT owner_id AS id FROM api_key WHERE id = $1', [key]);
    const each = [
      await create({ amount: 9n, each: 'owner' }),
      await create({ amount: 9n, each: 'key', targetKind: 'project', targetId: project }),
      await create({ amount: 9n, each: 'key', targetKind: 'owner', targetId: owner!.id as string }),
    ];
    const plain = await create({ amount: 9n, targetKind: 'key', targetId: key });
    await database.asOwner(
      `INSERT INTO quota_limit (id, name, unit, per, amount, target_kind, target_id, each, counts_from, created_at, updated_at)
       SELECT gen_random_uuid(), 'other', 'cents', 'day', 9, 'project', gen_random_uuid(), 'key', now(), now(), now()
         FROM generate_series(1, 5000)`,
      [],
    );
    await database.asOwner('ANALYZE quota_limit', []);
    const named = async (limit: LimitRow, member: string | null) =>
      (
        await database.asOwner('SELECT limit_id, member_id FROM limit_account_named($1, $2)', [
          ...[accountOfLimit(limit, member).id, key],
        ])
      ).map(({ limit_id: id, member_id: of }) => [id, of]);
    const members = [owner!.id as string, key, key];
    for (const [index, limit] of each.entries())
      expect(await named(limit, members[index]!)).toEqual([[limit.id, members[index]]]);
    expect(await named(plain, null)).toEqual([[plain.id, null]]);
    expect(await named(plain, key)).toEqual([]);
    // Its plan, as one statement: rows that it read and threw away are counted.
    const [body] = await database.asOwner(`SELECT prosrc FROM pg_proc WHERE proname = 'limit_account_named'`, []);
    const text = (body!.prosrc as string)
      .replaceAll('p_account', `'${randomUUID()}'::uuid`)
      .replaceAll('p_key', `'${key}'::uuid`);
    const plan = await database.asOwner(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, []);
    const nodes = JSON.stringify(plan).match(/"Rows Removed by (Join )?Filter":\s*(\d+)/g) ?? [];
    const removed = nodes.map((node) => Number(/\d+$/.exec(node)![0]));
    expect(Math.max(0, ...removed)).toBeLessThan(100);
  });

  it('are swept while reports arrive late, and refuse none', async () => {
    const key = await newKey();
    const limit = await create({ amount: 1_000n, per: 'day' });
    const hold = { accountId: limit.id, period: '2026-01-05', leaseId: randomUUID() };
    let isOver = false;
    const sweeps = (async () => {
      while (!isOver) await database.sql('SELECT limit_accounts_sweep(100)', []);
    })();
    for (let round = 0; round < 20; round++) {
      const results = await Promise.all(Array.from({ length: 4 }, () => writer.write([report(key, 5n, null, [hold])])));
      for (const [result] of results) expect(result!.outcome).toBe('accepted');
    }
    isOver = true;
    await sweeps;
    const [events] = await database.asOwner(
      `SELECT count(*)::int AS n FROM usage_event WHERE charged_accounts = ARRAY[$1::uuid] AND charged_periods = '{2026-01-05}'`,
      [limit.id],
    );
    expect(events!.n).toBe(80);
    // Swept accounts were made anew: only what came after the last sweep is in one, and each charge is of an event.
    await database.sql('SELECT limit_accounts_sweep(100)', []);
    const results = await Promise.all(Array.from({ length: 4 }, () => writer.write([report(key, 5n, null, [hold])])));
    for (const [result] of results) expect(result!.outcome).toBe('accepted');
    expect(await sums(limit)).toMatchObject({ spent: 20 });
  });

  it('neither deadlock nor lose anything when acquires, reports, returns, changes and sweeps meet', async () => {
    const keys = await Promise.all(Array.from({ length: 4 }, newKey));
    const [all, day, each] = [
      await create({ amount: 10n ** 9n }),
      await create({ amount: 10n ** 9n, per: 'day' }),
      await create({ amount: 10n ** 9n, each: 'key', per: 'week' }),
    ];
    const [before] = await deadlocks();
    const lanes = Array.from({ length: 8 }, async (_, lane) => {
      for (let round = 0; round < 12; round++) {
        const key = keys[(lane + round) % keys.length]!;
        const accounts = [accountOfLimit(all), accountOfLimit(day), accountOfLimit(each, key)];
        const isLong = round % 2 === 0;
        const turned = lane % 2 === 0 ? accounts : [...accounts].reverse();
        const leases = turned.map(() => randomUUID());
        const { budgets } = await call(turned, 100n, isLong, leases);
        expect(budgets.every(({ verdicts }) => verdicts[0] === true)).toBe(true);
        const holds = budgets.map(({ period }, index) => ({
          ...{ accountId: turned[index]!.id, period, leaseId: leases[index]! },
        }));
        const isReserved = round % 3 !== 0;
        const results = await writer.write([report(key, 3n), report(key, 70n, null, isReserved ? holds : null)]);
        for (const { outcome, isLate } of results) expect([outcome, isLate]).toEqual(['accepted', false]);
        await store.giveBack({
          leases: leases.map((leaseId) => ({ leaseId, number: 1, amount: isReserved ? 0n : null })),
          windows: [],
        });
        if (round % 4 === 0) await pool.transaction((tx) => limitRowChanged(tx, all, all));
        if (round % 5 === 0) await database.sql('SELECT limit_accounts_sweep(10)', []);
      }
    });
    await Promise.all(lanes);
    expect(await sums(all)).toMatchObject({ spent: 8 * 12 * 73 });
    expect(await sums(day)).toMatchObject({ spent: 8 * 12 * 73 });
    const differences = (await reconcileBudgets(pool)).filter(({ check }) => /limits|leased/.test(check));
    expect(differences).toEqual([]);
    // The server counts them a moment later.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await deadlocks()).toEqual([before]);
  });

  const deadlocks = () =>
    database.asOwner('SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()', []);
});
