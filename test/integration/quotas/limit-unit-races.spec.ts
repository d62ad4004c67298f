import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import type { BudgetGrant, Hold, LeaseReturn } from '../../../src/quotas/quota-store.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { entryOf } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { accountOfLimit, insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const AT_ONCE = 32;
const CALLER = randomUUID();
const START = Date.parse('2026-11-10T12:00:00Z');

describe('Accounts of requests and of tokens in PostgreSQL', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let store: PostgresQuotaStore;
  let writer: UsageWriter;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    const options = { type: 'postgres' as const, url: database.url, poolSize: 20, installExtensions: false };
    pool = await new DataSource(options).initialize();
    store = new PostgresQuotaStore(database.sql);
    writer = new UsageWriter(pool, { defaultHold: 0n, ceiling: 10n ** 15n });
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    for (const table of ['budget_lease', 'usage_event', 'quota_limit'])
      await database.asOwner(`DELETE FROM ${table}`, []);
    await database.asOwner('DELETE FROM budget_account WHERE limit_id IS NOT NULL', []);
    await database.setClock(START);
  });

  const create = (draft: Parameters<typeof insertLimit>[1]) => insertLimit(database.asOwner, draft);
  const acquire = async (
    limit: LimitRow,
    amount: bigint,
    leaseId: string,
    kind: 'counted' | 'pooled' = 'counted',
  ): Promise<BudgetGrant> => {
    const ask = { account: accountOfLimit(limit), kind, leaseId, want: 0n, needs: [{ amount, own: null }] };
    const answer = await store.acquire({ replicaId: 'one', liveReplicas: 1, windows: [], budgets: [ask] });
    return answer.budgets[0]!;
  };
  const give = (...leases: LeaseReturn[]) => store.giveBack({ leases, windows: [] });
  const closeAll = () => store.closeExpired({ beforeMs: START + 10 ** 9, watchedMs: 10 ** 9, limit: 1_000 });
  const sums = async (limit: LimitRow): Promise<unknown> => {
    const rows = await database.asOwner(
      `SELECT sum(spent_micro_cents)::int AS spent, sum(leased_micro_cents)::int AS leased,
              (SELECT count(*)::int FROM budget_lease) AS leases
         FROM budget_account WHERE key_id = $1`,
      [accountOfLimit(limit).id],
    );
    return rows[0];
  };
  const isSound = async () => expect(await reconcileBudgets(pool)).toEqual([]);

  it('give no more requests than their amount to calls at once, and each that was used is spent', async () => {
    const limit = await create({ unit: 'requests', amount: 20n, per: 'day' });
    const ids = Array.from({ length: AT_ONCE }, () => randomUUID());
    const grants = await Promise.all(ids.map((id) => acquire(limit, 1n, id)));
    const granted = ids.filter((_, index) => grants[index]!.verdicts[0] === true);
    expect(granted).toHaveLength(20);
    expect(await sums(limit)).toEqual({ spent: 0, leased: 20, leases: 20 });
    await Promise.all(granted.map((leaseId) => give({ leaseId, number: 1, amount: 0n })));
    expect(await sums(limit)).toEqual({ spent: 20, leased: 0, leases: 0 });
    expect((await acquire(limit, 1n, randomUUID())).verdicts).toEqual([false]);
    await isSound();
  });

  it('take a return once, however often it is sent', async () => {
    const limit = await create({ unit: 'requests', amount: 100n });
    const leaseId = randomUUID();
    await acquire(limit, 10n, leaseId);
    await Promise.all(Array.from({ length: 8 }, () => give({ leaseId, number: 1, amount: 7n })));
    expect(await sums(limit)).toEqual({ spent: 3, leased: 0, leases: 0 });
    // A lease whose grant was never seen: nothing of it was used.
    const unseen = randomUUID();
    await acquire(limit, 10n, unseen);
    await give({ leaseId: unseen, number: 1, amount: null });
    expect(await sums(limit)).toEqual({ spent: 3, leased: 0, leases: 0 });
    await isSound();
  });

  it('spend what is left in leases of replicas that are gone, each once, while others are handed back', async () => {
    const limit = await create({ unit: 'requests', amount: 10_000n, per: 'month' });
    const ids = Array.from({ length: AT_ONCE }, () => randomUUID());
    for (const id of ids) await acquire(limit, 10n, id);
    expect(await closeAll()).toBe(0);
    await database.setClock(START + 120_000);
    await Promise.all([
      ...ids.slice(0, AT_ONCE / 2).map((leaseId) => give({ leaseId, number: 1, amount: 6n })),
      ...Array.from({ length: 4 }, closeAll),
    ]);
    // A janitor leaves accounts that are locked for the next time.
    await closeAll();
    const { spent, ...rest } = (await sums(limit)) as { spent: number };
    expect(rest).toEqual({ leased: 0, leases: 0 });
    expect(spent).toBeGreaterThanOrEqual(AT_ONCE * 5 + AT_ONCE * 2);
    expect(spent).toBeLessThanOrEqual(AT_ONCE * 10);
    // Each lease was closed in one of two ways, and came to 4 or to 10.
    expect((spent - AT_ONCE * 4) % 6).toBe(0);
    await isSound();
  });

  it('spend what is left in leases of a clock that has stepped back', async () => {
    const limit = await create({ unit: 'requests', amount: 100n });
    const leaseId = randomUUID();
    await database.setClock(START + 3_600_000);
    await acquire(limit, 10n, leaseId);
    await database.setClock(START);
    expect(await store.closeFuture([leaseId])).toBe(1);
    expect(await sums(limit)).toEqual({ spent: 10, leased: 0, leases: 0 });
    await isSound();
  });

  it('charge tokens once where replicas settle at once, and cents beside them', async () => {
    const [tokens, cents] = [await create({ unit: 'tokens', amount: 1_000n }), await create({ amount: 1_000n })];
    const keyId = randomUUID();
    await database.createKey(keyId, null, 'total');
    const leases = [randomUUID(), randomUUID()] as const;
    const grants = [
      await acquire(tokens, 400n, leases[0], 'pooled'),
      await acquire(cents, 100n, leases[1], 'pooled'),
    ] as const;
    const holds = [tokens, cents].map((limit, index): Hold => ({
      ...{ accountId: accountOfLimit(limit).id, period: grants[index]!.period, leaseId: leases[index]! },
    }));
    const reservation = {
      ...{ keyId, reservationId: randomUUID(), callerId: CALLER, amount: 100n, tokens: 400n, holds },
      ...{ month: grants[0].month, expiresAtMs: 0, isDefaultHold: false },
    };
    const settle = (id: string) =>
      writer.write([
        entryOf(CALLER, {
          ...{ id, keyId, reservation, requests: 1, inputTokens: 100, outputTokens: 150, costMicroCents: 30n },
          ...{ model: null, chatbot: null, endpoint: null, statusCode: null, latencyMs: null, occurredAt: null },
          tags: [],
        }),
      ]);
    const results = (await Promise.all(Array.from({ length: 8 }, (_, index) => settle(`event ${index}`)))).flat();
    expect(results.filter(({ outcome }) => outcome === 'accepted')).toHaveLength(1);
    expect(await sums(tokens)).toMatchObject({ spent: 250, leased: 0 });
    expect(await sums(cents)).toMatchObject({ spent: 30, leased: 0 });
    await isSound();
  });
});
