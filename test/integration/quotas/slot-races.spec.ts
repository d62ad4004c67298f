import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { limitRowChanged } from '../../../src/quotas/limits/limit-accounts.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { type Account, type Hold, SLOT } from '../../../src/quotas/quota-store.js';
import { PostgresSlotStore } from '../../../src/quotas/slots/postgres-slot-store.js';
import type { SlotVerdict } from '../../../src/quotas/slots/slot-store.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { entryOf } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { accountOfLimit, insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const AT_ONCE = 32;
const CALLER = randomUUID();
const HOUR_MS = 3_600_000;

/** A call that has its slots. */
interface Taken {
  readonly leaseIds: readonly string[];
  readonly holds: readonly Hold[];
}

describe('Slots in PostgreSQL', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let slots: PostgresSlotStore;
  let quotas: PostgresQuotaStore;
  let writer: UsageWriter;
  let keyId: string;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    const options = { poolSize: 20, installExtensions: false } as const;
    pool = await new DataSource({ type: 'postgres', url: database.url, ...options }).initialize();
    slots = new PostgresSlotStore(database.sql);
    quotas = new PostgresQuotaStore(database.sql);
    writer = new UsageWriter(pool, { defaultHold: 0n, ceiling: 10n ** 15n });
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    await database.asOwner('DELETE FROM budget_lease', []);
    await database.asOwner('DELETE FROM budget_account WHERE limit_id IS NOT NULL', []);
    await database.asOwner('DELETE FROM quota_limit', []);
    keyId = randomUUID();
    await database.createKey(keyId, null, 'total');
  });

  const create = (draft: Parameters<typeof insertLimit>[1]) =>
    insertLimit(database.asOwner, { unit: 'slots', per: null, ...draft });
  const take = async (
    accounts: readonly Account[],
    ttlSeconds = 60,
  ): Promise<{ verdict: SlotVerdict; taken: Taken }> => {
    const needs = accounts.map((account) => ({ account, leaseId: randomUUID() }));
    const { calls } = await slots.take({ replicaId: 'one', calls: [{ needs, ttlSeconds }] });
    const holds = needs.map(({ account, leaseId }) => ({ accountId: account.id, period: SLOT, leaseId }));
    return { verdict: calls[0]!, taken: { leaseIds: needs.map(({ leaseId }) => leaseId), holds } };
  };
  const report = (holds: readonly Hold[], reservationId: string) =>
    entryOf(CALLER, {
      ...{ id: randomUUID(), keyId, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents: 5n, model: null },
      ...{ chatbot: null, endpoint: null, statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
      reservation: {
        ...{ keyId, reservationId, callerId: CALLER, amount: 0n, tokens: 0n, month: '2026-11-01' },
        ...{ expiresAtMs: 0, isDefaultHold: false, holds },
      },
    });
  const renew = (leaseIds: readonly string[], reservationId: string, ttlSeconds = 600) =>
    slots.renew([{ keyId, reservationId, ttlSeconds, leaseIds }]).then(([result]) => result!);
  const held = async (limit: LimitRow): Promise<number[]> => {
    const [row] = await database.asOwner(
      `SELECT coalesce((SELECT sum(leased_micro_cents) FROM budget_account WHERE limit_id = $1), 0)::int AS counted,
              (SELECT count(*) FROM budget_lease b JOIN budget_account a ON a.key_id = b.key_id AND a.period = b.period
                WHERE a.limit_id = $1)::int AS leases`,
      [limit.id],
    );
    return [row!.counted as number, row!.leases as number];
  };

  it('are given to as many calls at once as there are, in any order of their accounts', async () => {
    const [wide, narrow] = [await create({ amount: 20n }), await create({ amount: 7n })];
    const accounts = [accountOfLimit(wide), accountOfLimit(narrow)];
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) => take(index % 2 === 0 ? accounts : [...accounts].reverse())),
    );
    expect(answers.filter(({ verdict }) => verdict.granted)).toHaveLength(7);
    for (const [index, { verdict }] of answers.entries())
      if (!verdict.granted)
        expect(verdict).toEqual({ granted: false, refusedBy: index % 2 === 0 ? 1 : 0, found: true });
    // A call that is refused has taken nothing of the other one.
    expect([await held(wide), await held(narrow)]).toEqual([
      [7, 7],
      [7, 7],
    ]);
    expect(await reconcileBudgets(pool)).toEqual([]);
  });

  it('are decided in the order of the calls of a statement', async () => {
    const limit = await create({ amount: 2n });
    const calls = [1, 2, 3].map(() => ({
      needs: [{ account: accountOfLimit(limit), leaseId: randomUUID() }],
      ttlSeconds: 60,
    }));
    const answer = await slots.take({ replicaId: 'one', calls });
    expect(answer.calls.map(({ granted }) => granted)).toEqual([true, true, false]);
  });

  it('are refused where the limit does not exist', async () => {
    const gone = randomUUID();
    const { verdict } = await take([{ id: gone, type: 'total', limit: { id: gone, member: null } }]);
    expect(verdict).toEqual({ granted: false, refusedBy: 0, found: false });
  });

  it('are freed once by reports, releases and returns that come at once', async () => {
    const limit = await create({ amount: 100n });
    const accounts = [accountOfLimit(limit)];
    const calls = await Promise.all(Array.from({ length: AT_ONCE }, () => take(accounts)));
    const free = async ({ holds, leaseIds }: Taken): Promise<void> => {
      const reservationId = randomUUID();
      const reservation = {
        ...{ keyId, reservationId, callerId: CALLER, amount: 0n, tokens: 0n, month: '2026-11-01' },
      };
      await Promise.all([
        writer.write([report(holds, reservationId)]),
        writer.write([
          { kind: 'release', reservation: { ...reservation, expiresAtMs: 0, isDefaultHold: false, holds } },
        ]),
        slots.free(leaseIds),
        quotas.settle([
          ...[
            { kind: 'release' as const, keyId, reservationId, month: '2026-11-01', holds, reserved: 0n, amount: 0n },
          ].map((one) => ({ ...one, settledBy: '', defaultHold: 0n })),
        ]),
      ]);
    };
    await Promise.all(calls.slice(0, 16).map(({ taken }) => free(taken)));
    expect(await held(limit)).toEqual([16, 16]);
    const [spent] = await database.asOwner(
      'SELECT spent_micro_cents::int AS spent FROM budget_account WHERE limit_id = $1',
      [limit.id],
    );
    expect(spent).toEqual({ spent: 0 });
    expect(await reconcileBudgets(pool)).toEqual([]);
  });

  it('of a call are renewed or ended, never half of it, when both come at once', async () => {
    const [one, other] = [await create({ amount: 100n }), await create({ amount: 100n })];
    const accounts = [accountOfLimit(one), accountOfLimit(other)];
    const calls = await Promise.all(Array.from({ length: AT_ONCE }, () => take(accounts, 5)));
    await Promise.all(
      calls.map(async ({ taken: { leaseIds, holds } }) => {
        const reservationId = randomUUID();
        const [renewed] = await Promise.all([
          renew(leaseIds, reservationId),
          writer.write([report(holds, reservationId)]),
        ]);
        expect(['renewed', 'ended']).toContain(renewed.outcome);
        expect(await renew(leaseIds, reservationId)).toEqual({ outcome: 'ended' });
      }),
    );
    expect([await held(one), await held(other)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it('that are renewed are closed by the janitor once the new hold was watched', async () => {
    const limit = await create({ amount: 3n });
    const { taken } = await take([accountOfLimit(limit)], 5);
    const until = await renew(taken.leaseIds, randomUUID(), 60);
    expect(until).toMatchObject({ outcome: 'renewed' });
    const moved = async (bySeconds: number): Promise<void> => {
      await database.asOwner(
        `UPDATE budget_lease SET hold_until = hold_until - make_interval(secs => $1),
           held_from = held_from - make_interval(secs => $1), granted_at = granted_at - make_interval(secs => $1 + 7200)`,
        [bySeconds],
      );
    };
    await moved(66);
    const beforeMs = Date.now() + HOUR_MS;
    expect(await quotas.closeExpired({ beforeMs, watchedMs: 60_000, limit: 10 })).toBe(0);
    expect(await quotas.closeExpired({ beforeMs, watchedMs: 66_000, limit: 10 })).toBe(1);
    expect(await held(limit)).toEqual([0, 0]);
    expect(await renew(taken.leaseIds, randomUUID())).toEqual({ outcome: 'ended' });
  });

  it('that were renewed under a clock that was ahead come back once the hold was watched', async () => {
    const limit = await create({ amount: 3n });
    const { taken } = await take([accountOfLimit(limit)], 5);
    expect(await renew(taken.leaseIds, randomUUID(), 100)).toMatchObject({ outcome: 'renewed' });
    expect(await quotas.findFuture(10)).toEqual([]);
    await database.asOwner(
      `UPDATE budget_lease SET held_from = held_from + interval '10 h', hold_until = hold_until + interval '10 h'`,
      [],
    );
    expect(await quotas.findFuture(10)).toEqual([{ id: taken.leaseIds[0], holdMs: 105_000 }]);
    expect(await quotas.closeFuture(taken.leaseIds)).toBe(1);
    expect(await held(limit)).toEqual([0, 0]);
  });

  it.each(['granted', 'renewed'])(
    'that were %s under a clock that was ahead are held from now once they are renewed after its step back',
    async (what) => {
      const limit = await create({ amount: 3n });
      const { taken } = await take([accountOfLimit(limit)], 5);
      if (what === 'renewed')
        expect(await renew(taken.leaseIds, randomUUID(), 5)).toMatchObject({ outcome: 'renewed' });
      await database.asOwner(
        `UPDATE budget_lease SET granted_at = granted_at + interval '10 h', held_from = held_from + interval '10 h',
           hold_until = hold_until + interval '10 h'`,
        [],
      );
      expect(await renew(taken.leaseIds, randomUUID(), 100)).toMatchObject({ outcome: 'renewed' });
      const [row] = await database.asOwner(
        `SELECT extract(epoch FROM hold_until - held_from)::int AS held, held_from <= clock_timestamp() AS begun
         FROM budget_lease`,
        [],
      );
      expect(row).toEqual({ held: 105, begun: true });
    },
  );

  it('are not renewed once 24 hours and their hold are over', async () => {
    const limit = await create({ amount: 3n });
    const { taken } = await take([accountOfLimit(limit)], 5);
    await database.asOwner(
      `UPDATE budget_lease SET granted_at = granted_at - interval '25 h', admit_until = admit_until - interval '25 h',
         hold_until = hold_until - interval '25 h'`,
      [],
    );
    expect(await renew(taken.leaseIds, randomUUID(), 100)).toEqual({ outcome: 'ended' });
  });

  it('are neither lost nor given twice while the amount changes', async () => {
    let limit = await create({ amount: 30n });
    const accounts = [accountOfLimit(limit)];
    const change = async (amount: bigint): Promise<void> => {
      const after = { ...limit, amount };
      await pool.transaction(async (tx) => {
        await tx.query('UPDATE quota_limit SET amount = $2 WHERE id = $1', [limit.id, amount.toString()]);
        await limitRowChanged(tx, limit, after);
      });
      limit = after;
    };
    const first = await Promise.all(Array.from({ length: 20 }, () => take(accounts)));
    expect(first.every(({ verdict }) => verdict.granted)).toBe(true);
    await change(5n);
    // The constraint follows with the change itself: no call has locked the account since.
    const bounds = 'SELECT limit_micro_cents::int AS amount, floor_micro_cents::int AS floor FROM budget_account';
    expect(await database.asOwner(`${bounds} WHERE limit_id = $1`, [limit.id])).toEqual([{ amount: 5, floor: 20 }]);
    expect((await take(accounts)).verdict.granted).toBe(false);
    await Promise.all(first.slice(0, 16).map(({ taken }) => slots.free(taken.leaseIds)));
    const second = await Promise.all([take(accounts), take(accounts), take(accounts)]);
    expect(second.filter(({ verdict }) => verdict.granted)).toHaveLength(1);
    await Promise.all([change(8n), ...Array.from({ length: 10 }, () => take(accounts))]);
    const [counted, leases] = await held(limit);
    expect(counted).toBe(leases);
    expect(counted).toBeLessThanOrEqual(8);
    expect(await reconcileBudgets(pool)).toEqual([]);
  });

  it('do not keep usage from being booked where their count is wrong', async () => {
    const limit = await create({ amount: 3n });
    const { taken } = await take([accountOfLimit(limit)]);
    await database.asOwner('UPDATE budget_account SET leased_micro_cents = 0 WHERE limit_id = $1', [limit.id]);
    const [booked] = await writer.write([report(taken.holds, randomUUID())]);
    expect(booked).toMatchObject({ outcome: 'accepted' });
  });
});
