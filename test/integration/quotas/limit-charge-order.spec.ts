import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import type { Account, BudgetRequest, Hold, Settlement } from '../../../src/quotas/quota-store.js';
import { PostgresSlotStore } from '../../../src/quotas/slots/postgres-slot-store.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { entryOf } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { accountOfLimit, insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const CALLER = randomUUID();
const MONTH = '2026-11-01';
/** Hundreds of times as long as a statement takes that waits for nothing; what waits does so for longer. */
const AT_ONCE_MS = 10_000;

describe('Accounts of limits, which are charged last', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let store: PostgresQuotaStore;
  let slots: PostgresSlotStore;
  let writer: UsageWriter;
  let blocker: Client;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    const options = { type: 'postgres' as const, url: database.url, poolSize: 20, installExtensions: false };
    pool = await new DataSource(options).initialize();
    store = new PostgresQuotaStore(database.sql);
    slots = new PostgresSlotStore(database.sql);
    writer = new UsageWriter(pool, { defaultHold: 0n, ceiling: 10n ** 15n });
    blocker = new Client({ connectionString: database.url });
    await blocker.connect();
    await database.asOwner(
      `CREATE FUNCTION wait_for_blocker() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END'`,
      [],
    );
  });
  afterAll(async () => {
    await blocker.end();
    await pool.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    for (const table of ['budget_lease', 'usage_event', 'quota_limit'])
      await database.asOwner(`DELETE FROM ${table}`, []);
    await database.asOwner('DELETE FROM budget_account WHERE limit_id IS NOT NULL', []);
    await database.asOwner('UPDATE budget_account SET leased_micro_cents = 0', []);
  });

  const create = (draft: Parameters<typeof insertLimit>[1]) => insertLimit(database.asOwner, draft);
  const newKey = async (): Promise<string> => {
    const id = randomUUID();
    await database.createKey(id, 10n ** 12n, 'total');
    // Its totals are there from the first report on.
    await writer.write([report(id, 0n)]);
    return id;
  };
  const report = (keyId: string, costMicroCents: bigint, holds: Hold[] = [], reservationId = randomUUID()) =>
    entryOf(CALLER, {
      ...{ id: randomUUID(), keyId, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents, model: null },
      ...{ chatbot: null, endpoint: null, statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
      reservation:
        holds.length === 0
          ? null
          : {
              ...{ keyId, reservationId, callerId: CALLER, amount: 100n, tokens: 0n, month: MONTH, holds },
              ...{ expiresAtMs: 0, isDefaultHold: false },
            },
    });
  /** One call over several accounts, with leases of its own; gives its holds. */
  const hold = async (accounts: readonly Account[]): Promise<Hold[]> => {
    const leases = accounts.map(() => randomUUID());
    const { budgets } = await store.acquire({
      ...{ replicaId: 'one', liveReplicas: 1, windows: [] },
      budgets: accounts.map((account, index): BudgetRequest => ({
        ...{ account, kind: 'pooled', leaseId: randomUUID(), want: 0n },
        needs: [{ amount: 100n, own: { leaseId: leases[index]!, ttlSeconds: 300 }, joint: 1 }],
      })),
    });
    expect(budgets.map(({ verdicts }) => verdicts)).toEqual(accounts.map(() => [true]));
    return budgets.map(({ period }, index) => ({ accountId: accounts[index]!.id, period, leaseId: leases[index]! }));
  };
  const release = (keyId: string, holds: Hold[], reservationId = randomUUID()): Settlement => ({
    ...{ kind: 'release', keyId, reservationId, month: MONTH, reserved: 100n, amount: 0n, holds },
    ...{ settledBy: '', defaultHold: 0n },
  });
  const sums = async (limit: LimitRow): Promise<unknown> => {
    const rows = await database.asOwner(
      `SELECT sum(spent_micro_cents)::int AS spent, sum(leased_micro_cents)::int AS leased FROM budget_account WHERE key_id = $1`,
      [accountOfLimit(limit).id],
    );
    return rows[0];
  };
  const isSound = async () =>
    expect((await reconcileBudgets(pool)).filter(({ check }) => /limits|leased/.test(check))).toEqual([]);

  /** Until a statement waits for a lock that calls this function. */
  async function isWaiting(name: string): Promise<void> {
    for (let waiting = 0; waiting === 0;) {
      const rows = await database.asOwner(
        `SELECT count(*)::int AS n FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`,
        [`%${name}%`],
      );
      waiting = rows[0]!.n as number;
    }
  }

  /** Does `meanwhile` while a report of this key is held where it notes what sums need, before accounts of limits. */
  const inTheMiddleOf = <Result>(keyId: string, write: () => Promise<Result>, meanwhile: () => Promise<unknown>) =>
    whileHeldAt('usage_pending', `NEW.keys @> ARRAY['${keyId}'::uuid]`, write, meanwhile);

  /** Does `meanwhile` while a report waits to insert such a row into this table. */
  async function whileHeldAt<Result>(
    table: string,
    row: string,
    write: () => Promise<Result>,
    meanwhile: () => Promise<unknown>,
  ): Promise<Result> {
    await database.asOwner(
      `CREATE TRIGGER wait BEFORE INSERT ON ${table} FOR EACH ROW WHEN (${row}) EXECUTE FUNCTION wait_for_blocker()`,
      [],
    );
    await blocker.query('SELECT pg_advisory_lock(4711)');
    const written = write();
    try {
      await isWaiting('usage_book');
      await meanwhile();
    } finally {
      await blocker.query('SELECT pg_advisory_unlock(4711)');
      await written.catch(() => undefined);
      await database.asOwner(`DROP TRIGGER wait ON ${table}`, []);
    }
    return written;
  }

  const deadlocks = () =>
    database.asOwner('SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()', []);

  it('give leases to others while a report is being written that they are charged with', async () => {
    const [key, other] = [await newKey(), await newKey()];
    const limit = await create({ amount: 10_000n });
    const holds = await hold([accountOfLimit(limit)]);
    const [result] = await inTheMiddleOf(
      key,
      () => writer.write([report(key, 30n, holds)]),
      async () => {
        const began = performance.now();
        await hold([{ id: other, type: 'total' }, accountOfLimit(limit)]);
        await writer.write([report(other, 5n)]);
        expect(performance.now() - began).toBeLessThan(AT_ONCE_MS);
        expect(await sums(limit)).toEqual({ spent: 5, leased: 200 });
      },
    );
    expect(result).toMatchObject({ outcome: 'accepted', isLate: false });
    expect(await sums(limit)).toEqual({ spent: 35, leased: 100 });
    await isSound();
  });

  it('are taken by a call after the account of its key, also where the call makes them', async () => {
    const key = await newKey();
    // The smallest ids: by id they would come first. One has an account already.
    const [limit, used] = [
      await create({ id: randomUUID().replace(/^.{8}/, '00000000'), amount: 10_000n }),
      await create({ id: randomUUID().replace(/^.{8}/, '00000000'), amount: 10_000n }),
    ];
    await hold([accountOfLimit(used)]);
    let call: Promise<unknown> = Promise.resolve();
    // What it reserved names no limit, so that the account of the limit is not there yet.
    const holds = await hold([{ id: key, type: 'total' }]);
    await inTheMiddleOf(
      key,
      () => writer.write([report(key, 30n, holds)]),
      async () => {
        call = hold([{ id: key, type: 'total' }, accountOfLimit(limit), accountOfLimit(used)]);
        await isWaiting('quota_acquire_limits');
        const began = performance.now();
        await Promise.race([hold([accountOfLimit(limit), accountOfLimit(used)]), sleep(AT_ONCE_MS)]);
        expect(performance.now() - began).toBeLessThan(AT_ONCE_MS);
      },
    );
    await call;
    expect([await sums(limit), await sums(used)]).toEqual([
      { spent: 0, leased: 200 },
      { spent: 0, leased: 300 },
    ]);
    await isSound();
  });

  it('are charged by a report whose lease is closed in the middle of it, which is late then', async () => {
    const key = await newKey();
    const limit = await create({ amount: 10_000n });
    const holds = await hold([accountOfLimit(limit)]);
    await database.asOwner(
      `UPDATE budget_lease SET granted_at = now() - interval '2 h', hold_until = now() - interval '1 h'`,
      [],
    );
    const [result] = await inTheMiddleOf(
      key,
      () => writer.write([report(key, 30n, holds)]),
      async () => expect(await store.closeExpired({ beforeMs: Date.now(), watchedMs: 10 ** 9, limit: 10 })).toBe(1),
    );
    expect(result).toMatchObject({ outcome: 'accepted', isLate: true });
    expect(await sums(limit)).toEqual({ spent: 30, leased: 0 });
    const events = await database.asOwner('SELECT is_late FROM usage_event WHERE cost_micro_cents = 30', []);
    expect(events).toEqual([{ is_late: true }]);
    await isSound();
  });

  it('are made again by a report in whose middle they are swept', async () => {
    const key = await newKey();
    const limit = await create({ amount: 10_000n, per: 'day' });
    const old = [{ accountId: limit.id, period: '2026-01-05', leaseId: randomUUID() }];
    await writer.write([report(key, 1n, old)]);
    const [result] = await inTheMiddleOf(
      key,
      () => writer.write([report(key, 30n, old)]),
      async () => expect(await database.sql('SELECT limit_accounts_sweep(10) AS swept', [])).toEqual([{ swept: 1 }]),
    );
    expect(result).toMatchObject({ outcome: 'accepted', isLate: true });
    expect(await sums(limit)).toEqual({ spent: 30, leased: 0 });
    const events = await database.asOwner(
      'SELECT charged_accounts AS of FROM usage_event WHERE cost_micro_cents = 30',
      [],
    );
    expect(events).toEqual([{ of: [limit.id] }]);
  });

  it('are made again by a report that had seen them, and makes another one while they are swept', async () => {
    const key = await newKey();
    const [seen, made] = [await create({ amount: 10_000n, per: 'day' }), await create({ amount: 10_000n, per: 'day' })];
    const old = [seen, made].map(({ id }) => ({ accountId: id, period: '2026-01-05', leaseId: randomUUID() }));
    await writer.write([report(key, 1n, old.slice(0, 1))]);
    const [result] = await whileHeldAt(
      'budget_account',
      `NEW.limit_id = '${made.id}'`,
      () => writer.write([report(key, 30n, old)]),
      async () => expect(await database.sql('SELECT limit_accounts_sweep(10) AS swept', [])).toEqual([{ swept: 1 }]),
    );
    expect(result).toMatchObject({ outcome: 'accepted', isLate: true });
    expect([await sums(seen), await sums(made)]).toEqual([
      { spent: 30, leased: 0 },
      { spent: 30, leased: 0 },
    ]);
    const events = await database.asOwner(
      'SELECT charged_accounts AS of FROM usage_event WHERE cost_micro_cents = 30',
      [],
    );
    expect(events).toEqual([{ of: [seen.id, made.id] }]);
  });

  it('hold nothing for a reservation that was released, whose report comes all the same', async () => {
    const key = await newKey();
    const limit = await create({ amount: 10_000n });
    const [holds, others] = [await hold([accountOfLimit(limit)]), await hold([accountOfLimit(limit)])];
    const reservationId = randomUUID();
    expect(await store.settle([release(key, holds, reservationId)])).toMatchObject([{ outcome: 'released' }]);
    const [result] = await writer.write([report(key, 30n, holds, reservationId)]);
    expect(result).toMatchObject({ outcome: 'accepted', isLate: true });
    expect(await sums(limit)).toEqual({ spent: 30, leased: 100 });
    await store.settle([release(key, others)]);
    expect(await sums(limit)).toEqual({ spent: 30, leased: 0 });
    await isSound();
  });

  it("are never in each other's way with accounts of keys, whichever id is the smaller", async () => {
    const [before] = await deadlocks();
    for (let round = 0; round < 4; round += 1) {
      // New accounts in each round: the first calls and reports meet while they are made.
      const [wide, narrow] = [
        await create({ amount: 10n ** 9n, per: 'month' }),
        await create({ amount: 10n ** 9n, per: 'day' }),
      ];
      const keys = await Promise.all(Array.from({ length: 3 }, newKey));
      await Promise.all(
        Array.from({ length: 8 }, async (_, lane) => {
          for (let turn = 0; turn < 4; turn += 1) {
            const key = keys[(lane + turn) % keys.length]!;
            const accounts: Account[] = [{ id: key, type: 'total' }, accountOfLimit(wide), accountOfLimit(narrow)];
            const holds = await hold(lane % 2 === 0 ? accounts : accounts.reverse());
            const reservationId = randomUUID();
            const leaseIds = holds.map(({ leaseId }) => leaseId);
            const renewed = await slots.renew([{ keyId: key, reservationId, ttlSeconds: 600, leaseIds }]);
            expect(renewed).toMatchObject([{ outcome: 'renewed' }]);
            const other = keys[(lane + turn + 1) % keys.length]!;
            if (turn % 2 === 0) await writer.write([report(other, 3n), report(key, 70n, holds, reservationId)]);
            else
              await Promise.all([
                store.settle([release(key, holds, reservationId)]),
                writer.write([report(other, 3n)]),
              ]);
            await store.giveBack({
              leases: leaseIds.map((leaseId) => ({ leaseId, number: 1, amount: null })),
              windows: [],
            });
          }
        }),
      );
      expect(await sums(wide)).toEqual({ spent: 8 * 4 * 3 + 8 * 2 * 70, leased: 0 });
      expect(await sums(narrow)).toEqual({ spent: 8 * 4 * 3 + 8 * 2 * 70, leased: 0 });
      await isSound();
    }
    // The server counts them a moment later.
    await sleep(1_500);
    expect(await deadlocks()).toEqual([before]);
  });
});
