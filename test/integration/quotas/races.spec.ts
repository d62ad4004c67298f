import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import type { AcquireRequest, BudgetRequest, Settlement } from '../../../src/quotas/quota-store.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { PATIENCE_MS } from '../../support/eventually.js';
import { createQuotaDatabase } from './quota-database.js';
import type { QuotaDatabase } from './quota-database.js';

const AT_ONCE = 32;

describe('the quota store in PostgreSQL', () => {
  let database: QuotaDatabase;
  let store: PostgresQuotaStore;
  let key: string;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    store = new PostgresQuotaStore(database.sql);
  });
  afterAll(() => database.drop());
  beforeEach(() => {
    key = randomUUID();
  });

  const create = async (limit: bigint | null, type: 'total' | 'monthly' = 'total'): Promise<void> => {
    await database.createKey(key, limit, type);
  };
  const ask = (
    amount: bigint,
    type: 'total' | 'monthly' = 'total',
    ttlSeconds: number | null = null,
  ): BudgetRequest => ({
    account: { id: key, type },
    kind: 'pooled',
    leaseId: randomUUID(),
    want: 0n,
    needs: [{ amount, own: ttlSeconds === null ? null : { leaseId: randomUUID(), ttlSeconds } }],
  });
  const request = (budgets: BudgetRequest[], windows: AcquireRequest['windows'] = []): AcquireRequest => ({
    replicaId: 'one',
    liveReplicas: 3,
    budgets,
    windows,
  });
  const settlement = (one: BudgetRequest, amount: bigint, given: Partial<Settlement> = {}): Settlement => ({
    kind: 'settle',
    keyId: key,
    reservationId: randomUUID(),
    month: null,
    holds: [{ accountId: key, period: 'total', leaseId: one.leaseId }],
    reserved: one.needs[0]?.amount ?? 0n,
    amount,
    settledBy: randomUUID(),
    defaultHold: 0n,
    ...given,
  });
  const totals = async (): Promise<unknown> =>
    (
      await database.asOwner(
        `SELECT spent_micro_cents::int AS spent, leased_micro_cents::int AS leased, overdraft_micro_cents::int AS overdraft
       FROM budget_account WHERE key_id = $1 AND period = 'total'`,
        [key],
      )
    )[0];
  /** A connection of its own, as the owner of a transaction that others meet. */
  const within = async (run: (client: Client) => Promise<void>): Promise<void> => {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    try {
      await client.query('BEGIN');
      await run(client);
    } finally {
      await client.end();
    }
  };
  const isWaiting = async (): Promise<boolean> => {
    const until = performance.now() + PATIENCE_MS;
    while (performance.now() < until) {
      const rows = await database.asOwner(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        [],
      );
      if (rows.length > 0) return true;
    }
    return false;
  };

  it('grants no more than the limit to acquires at once', async () => {
    await create(1_000n);
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => store.acquire(request([ask(60n)]))));
    const granted = answers.filter((answer) => answer.budgets[0]?.verdicts[0]).length;
    expect(granted).toBe(16);
    expect(await totals()).toEqual({ spent: 0, leased: 960, overdraft: 0 });
  });

  it('grants no more permits than the limit to acquires at once, over all three windows in any order', async () => {
    const windows = (['minute', 'hour', 'day'] as const).map((window) => ({
      id: key,
      window,
      limit: 20,
      want: 0,
      few: 0,
      needs: [1],
      previous: null,
    }));
    const other = windows.map((window) => ({ ...window, id: randomUUID() }));
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) =>
        store.acquire(request([], index % 2 ? [...windows, ...other] : [...other, ...windows].reverse())),
      ),
    );
    const granted = answers.flatMap(
      (answer, index) => (index % 2 ? answer.windows[0] : answer.windows.at(-1))?.permits ?? 0,
    );
    expect(granted.reduce((sum, permits) => sum + permits, 0)).toBe(20);
  });

  it('counts a reservation once when 32 settle and release it at once', async () => {
    await create(1_000n);
    const lease = ask(500n);
    await store.acquire(request([lease]));
    const reservationId = randomUUID();
    const results = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) =>
        store.settle([
          settlement(lease, index % 2 ? 300n : 0n, { reservationId, kind: index % 2 ? 'settle' : 'release' }),
        ]),
      ),
    );
    const first = results.filter(([result]) => result?.outcome === 'settled' || result?.outcome === 'released');
    // One end; or a release first, and after it one settle, which is late.
    expect(first.length).toBeLessThanOrEqual(2);
    const spent = first.some(([result]) => result?.outcome === 'settled') ? 300 : 0;
    expect(await totals()).toEqual({ spent, leased: 0, overdraft: 0 });
  });

  it('neither deadlocks nor loses anything when acquires, settles, returns and janitors meet', async () => {
    const keys = Array.from({ length: 4 }, () => randomUUID());
    for (const one of keys) {
      key = one;
      await create(100_000n);
    }
    const work = Array.from({ length: AT_ONCE }, async (_, index) => {
      const turn = (offset: number): string => keys[(index + offset) % 4] as string;
      for (let round = 0; round < 5; round++) {
        const asks = [0, 1, 2, 3].map((offset): BudgetRequest => ({
          ...ask(20n),
          account: { id: turn(offset), type: 'total' },
        }));
        await store.acquire(request(asks));
        await Promise.all([
          store.settle(
            asks.slice(0, 2).map((one) =>
              settlement(one, 5n, {
                keyId: one.account.id,
                holds: [{ accountId: one.account.id, period: 'total', leaseId: one.leaseId }],
              }),
            ),
          ),
          store.giveBack({
            leases: asks.slice(2).map((one) => ({ leaseId: one.leaseId, number: 1, amount: null })),
            windows: [],
          }),
          store.closeExpired({ beforeMs: Date.now() + 10_000, watchedMs: 1e7, limit: 50 }),
        ]);
      }
    });
    await Promise.all(work);
    const [sums] = await database.asOwner(
      `SELECT sum(spent_micro_cents)::int AS spent, sum(leased_micro_cents)::int AS leased FROM budget_account WHERE key_id = ANY ($1) AND period = 'total'`,
      [keys],
    );
    expect(sums).toEqual({ spent: AT_ONCE * 5 * 2 * 5, leased: 0 });
  });

  it('has a wall that a forged update meets', async () => {
    await create(1_000n);
    await store.acquire(request([ask(600n)]));
    await expect(
      database.asOwner('UPDATE budget_account SET spent_micro_cents = 401 WHERE key_id = $1', [key]),
    ).rejects.toMatchObject({
      code: '23514',
      constraint: 'budget_account_wall',
    });
    await expect(
      database.asOwner('UPDATE budget_lease SET settled_micro_cents = 601 WHERE key_id = $1', [key]),
    ).rejects.toMatchObject({ constraint: 'budget_lease_amounts' });
  });

  it('lets one event that the wall refuses not fail its batch', async () => {
    await create(1_000n);
    const good = ask(100n);
    const forged = ask(100n);
    await store.acquire(request([good, forged]));
    // Of a hold larger than its lease: only a forger or a defect sends that.
    const batch = [
      settlement(good, 40n),
      settlement(forged, 150n, { reserved: 300n }),
      settlement(good, 30n, { holds: [], reserved: 0n }),
    ];
    expect((await store.settle(batch)).map(({ outcome }) => outcome)).toEqual(['settled', 'refused', 'settled']);
    expect(await totals()).toEqual({ spent: 70, leased: 100, overdraft: 0 });
  });

  it('lets a limit be raised, used up and lowered again', async () => {
    await create(100n);
    const change = async (limit: number): Promise<void> => {
      await database.asOwner('UPDATE api_key SET budget_limit_micro_cents = $2 WHERE id = $1', [key, limit]);
    };
    await change(10);
    await change(1_000);
    const lease = ask(900n);
    await store.acquire(request([lease]));
    await store.settle([settlement(lease, 900n)]);
    await change(10);
    expect((await store.acquire(request([ask(1n)]))).budgets[0]?.verdicts).toEqual([false]);
  });

  it('makes a month row with the limit of a change that it had to wait for', async () => {
    await create(500n, 'monthly');
    await within(async (client) => {
      await client.query('UPDATE api_key SET budget_limit_micro_cents = 50 WHERE id = $1', [key]);
      const asked = store.acquire(request([ask(100n, 'monthly')]));
      expect(await isWaiting()).toBe(true);
      await client.query('COMMIT');
      const [grant] = (await asked).budgets;
      expect(grant).toMatchObject({ found: true, limit: 50n, verdicts: [false] });
    });
  });

  it('refuses an account that does not exist', async () => {
    const [grant] = (await store.acquire(request([ask(1n)]))).budgets;
    expect(grant).toMatchObject({ found: false, verdicts: [false], slice: 0n });
  });

  describe('closing leases past their hold', () => {
    const makeOld = async (): Promise<BudgetRequest> => {
      const lease = ask(100n);
      await store.acquire(request([lease]));
      await database.asOwner(
        `UPDATE budget_lease SET granted_at = granted_at - interval '2 minutes', hold_until = hold_until - interval '2 minutes' WHERE id = $1`,
        [lease.leaseId],
      );
      return lease;
    };
    const order = { beforeMs: Date.now() + 3_600_000, watchedMs: 100_000, limit: 10 };

    it('passes over an account that another holds, and closes it the next time', async () => {
      await create(1_000n);
      await makeOld();
      await within(async (client) => {
        await client.query('SELECT 1 FROM budget_account WHERE key_id = $1 FOR UPDATE', [key]);
        expect(await store.closeExpired(order)).toBe(0);
        await client.query('ROLLBACK');
      });
      expect(await store.closeExpired(order)).toBe(1);
      expect(await totals()).toEqual({ spent: 0, leased: 0, overdraft: 0 });
    });

    it('closes leases of others in the same statement, however many of a locked account are older', async () => {
      const [locked, free] = [randomUUID(), randomUUID()];
      for (const [account, leases] of [
        [locked, 12],
        [free, 5],
      ] as const) {
        key = account;
        await create(10_000n);
        for (let made = 0; made < leases; made += 1) await makeOld();
      }
      await within(async (client) => {
        await client.query('SELECT 1 FROM budget_account WHERE key_id = $1 FOR UPDATE', [locked]);
        expect(await store.closeExpired(order)).toBe(5);
        expect(await totals()).toEqual({ spent: 0, leased: 0, overdraft: 0 });
        expect(await store.closeExpired(order)).toBe(0);
        await client.query('ROLLBACK');
      });
      expect(await store.closeExpired(order)).toBe(10);
      expect(await store.closeExpired(order)).toBe(2);
    });

    it('waits for a watch as long as the hold', async () => {
      await create(1_000n);
      await makeOld();
      expect(await store.closeExpired({ ...order, watchedMs: 60_000 })).toBe(0);
      expect(await store.closeExpired({ ...order, beforeMs: Date.now() - 600_000 })).toBe(0);
      expect(await store.closeExpired(order)).toBe(1);
    });

    it('charges what comes after it as late, to free budget first', async () => {
      await create(150n);
      const lease = await makeOld();
      await store.closeExpired(order);
      const [result] = await store.settle([settlement(lease, 100n)]);
      expect(result).toEqual({ outcome: 'settled', late: true, excess: 0n });
      expect(await totals()).toEqual({ spent: 100, leased: 0, overdraft: 0 });
      await store.settle([settlement(lease, 100n)]);
      expect(await totals()).toEqual({ spent: 200, leased: 0, overdraft: 50 });
    });
  });

  it('asks for permits ahead without waiting for a row that others hold, and closes nothing of it', async () => {
    const [held, free] = [randomUUID(), randomUUID()].sort() as [string, string];
    const window = { window: 'minute' as const, limit: 1_000, want: 4, few: 4 };
    const needed = [held, free].map((id) => ({ ...window, id, needs: [1], previous: null }));
    const { windows: first } = await store.acquire(request([], needed));
    const ahead = needed.map((one, index) => {
      const { bucket } = first[index]!;
      return { ...one, needs: [], previous: { bucket, granted: 1, used: 1 } };
    });
    await within(async (client) => {
      await client.query('SELECT FROM rate_window WHERE key_id = $1 FOR UPDATE', [held]);
      const { windows } = await store.acquire(request([], ahead));
      expect(windows).toMatchObject([
        { verdicts: [], permits: 0, validForMs: 0 },
        { verdicts: [], permits: 4, validForMs: 3_600_000 },
      ]);
      await client.query('ROLLBACK');
    });
    const { windows } = await store.acquire(request([], ahead));
    expect(windows).toMatchObject([{ permits: 4, validForMs: 3_600_000 }, { permits: 4 }]);
  });

  it('forgets ended reservations only after their days', async () => {
    await create(1_000n);
    const lease = ask(10n);
    await store.acquire(request([lease]));
    await store.settle([settlement(lease, 1n)]);
    expect(await store.forgetReservations(35, 100)).toBe(0);
    await database.asOwner(`UPDATE reservation_end SET ended_at = ended_at - interval '36 days' WHERE key_id = $1`, [
      key,
    ]);
    expect(await store.forgetReservations(35, 100)).toBe(1);
  });
});
