import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import type { Admission, ReservationParts } from '../../../src/quotas/admission.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import { LimitAccounts } from '../../../src/quotas/limits/limit-accounts.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { type Account, NO_LEASE } from '../../../src/quotas/quota-store.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { entryOf } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { accountOfLimit, insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

/** The greatest amount that a caller may reserve: 10⁹ cents. */
const MOST = 10n ** 15n;
/** As much as is leased of an account that nothing bounds. */
const MOST_LEASED = 10n ** 17n;
const CALLER = randomUUID();

describe('The sums of accounts of limits', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let writer: UsageWriter;
  let manager: LeaseManager;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    pool = await new DataSource({ type: 'postgres', url: database.url, installExtensions: false }).initialize();
    writer = new UsageWriter(pool, { defaultHold: 0n, ceiling: MOST });
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    for (const table of ['budget_lease', 'budget_account', 'quota_limit', 'usage_event', 'usage_id'])
      await database.asOwner(`DELETE FROM ${table}`, []);
    const clock = {
      monotonicMs: () => performance.now(),
      wallMs: () => Date.now(),
      after: (delayMs: number, run: () => void) => void setTimeout(run, delayMs).unref(),
    };
    // As long as a slow machine may need for so many statements.
    const options = { replicaId: 'one', acquireTimeoutMs: 60_000 };
    manager = new LeaseManager(new PostgresQuotaStore(database.sql), clock, randomUUID, options);
  });

  afterEach(() => manager.stop(10_000));

  const admit = (accounts: readonly Account[], reserve: bigint, ttlSeconds: number): Promise<Admission> =>
    Promise.resolve(manager.admit({ accounts, windows: [], cost: 1, reserve, ttlSeconds, isDefaultHold: false }));
  const reservationOf = (admission: Admission): ReservationParts => {
    if (!admission.admitted) throw new Error(`Refused: ${admission.code}`);
    return admission.reservation!;
  };
  const observe = (draft: Partial<LimitRow> = {}) =>
    insertLimit(database.asOwner, { amount: 1n, mode: 'observe', ...draft });
  const leasedOf = async (limit: LimitRow): Promise<bigint> => {
    const [row] = await database.asOwner(
      'SELECT leased_micro_cents::text AS leased FROM budget_account WHERE key_id = $1',
      [limit.id],
    );
    return BigInt(row!.leased as string);
  };

  it.each([
    ['short', 60, 1],
    ['long', 300, 1],
    ['long, of several accounts', 300, 2],
  ])('hold the greatest reservations of an observed limit, and refuse none (%s)', async (_, ttlSeconds, limits) => {
    const rows = await Promise.all(Array.from({ length: limits }, () => observe()));
    const accounts = rows.map((row) => accountOfLimit(row));
    const reservations: ReservationParts[] = [];
    for (let round = 0; round < 5; round++) {
      const admissions = await Promise.all(Array.from({ length: 60 }, () => admit(accounts, MOST, ttlSeconds)));
      reservations.push(...admissions.map(reservationOf));
    }
    for (const row of rows) {
      const leased = await leasedOf(row);
      expect(leased).toBeGreaterThan(0n);
      expect(leased).toBeLessThanOrEqual(MOST_LEASED);
    }
    // Each names the account, with a lease or without; so each is charged.
    const unheld = reservations.filter(({ holds }) => holds.every(({ leaseId }) => leaseId === NO_LEASE));
    expect(unheld.length).toBeGreaterThan(100);
    const now = Date.now();
    for (const { holds, month, expiresAtMs } of unheld) {
      expect(holds.map(({ accountId, period }) => [accountId, period])).toEqual(rows.map(({ id }) => [id, 'total']));
      expect(month).toMatch(/^\d{4}-\d\d-01$/);
      expect(Math.abs(expiresAtMs! - ttlSeconds * 1_000 - now)).toBeLessThan(120_000);
    }
    const keyId = randomUUID();
    await database.createKey(keyId, null, 'total');
    const held = reservations.filter(({ holds }) => holds.every(({ leaseId }) => leaseId !== NO_LEASE));
    const results = await writer.write([report(keyId, held[0]!), report(keyId, unheld[0]!)]);
    expect(results.map(({ outcome }) => outcome)).toEqual(['accepted', 'accepted']);
    expect((await reconcileBudgets(pool)).filter(({ check }) => /limits|leased/.test(check))).toEqual([]);
  });

  it('admit and charge where all that can be counted is spent', async () => {
    const row = await observe();
    reservationOf(await admit([accountOfLimit(row)], MOST, 300));
    await database.asOwner('UPDATE budget_account SET spent_micro_cents = 9000000000000000000 WHERE key_id = $1', [
      row.id,
    ]);
    const more = await Promise.all(Array.from({ length: 120 }, () => admit([accountOfLimit(row)], MOST, 300)));
    const keyId = randomUUID();
    await database.createKey(keyId, null, 'total');
    const [result] = await writer.write([report(keyId, reservationOf(more[0]!))]);
    expect(result!.outcome).toBe('accepted');
    // Enforced from now on: the greatest sums are compared with the amount, and refused.
    await database.asOwner(`UPDATE quota_limit SET mode = 'enforce' WHERE id = $1`, [row.id]);
    expect(await admit([accountOfLimit(row)], MOST, 300)).toMatchObject({ admitted: false, code: 'BUDGET_EXCEEDED' });
    const [late] = await writer.write([report(keyId, reservationOf(more[1]!))]);
    expect(late!.outcome).toBe('accepted');
  });

  it('tell what a replica has set aside for the next calls as left', async () => {
    const row = await insertLimit(database.asOwner, { amount: 100n });
    const keyId = randomUUID();
    await database.createKey(keyId, null, 'total');
    const [account, leaseId] = [accountOfLimit(row), randomUUID()];
    const needs = [{ amount: 90n, own: null }];
    await new PostgresQuotaStore(database.sql).acquire({
      ...{ replicaId: 'one', liveReplicas: 1, windows: [] },
      budgets: [{ account, kind: 'pooled', leaseId, want: 0n, needs }],
    });
    const accounts = new LimitAccounts(pool);
    const stateWith = async (amount: bigint | null) => {
      const unused = amount === null ? [] : [{ leaseId, amount }];
      const [bound] = await accounts.bindingKey(keyId, (id) => (id === account.id ? unused : []));
      return [bound!.account.held, bound!.account.remaining];
    };
    expect(await stateWith(null)).toEqual([90n, 10n]);
    expect(await stateWith(70n)).toEqual([20n, 80n]);
    // Memory may lag behind: no more than the lease still holds.
    expect(await stateWith(500n)).toEqual([0n, 100n]);
  });

  const report = (keyId: string, { holds, month }: ReservationParts) =>
    entryOf(CALLER, {
      ...{ id: randomUUID(), keyId, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents: 7n, model: null },
      ...{ chatbot: null, endpoint: null, statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
      reservation: {
        ...{ keyId, reservationId: randomUUID(), callerId: CALLER, amount: MOST, tokens: 0n, month: month! },
        ...{ expiresAtMs: 0, isDefaultHold: false, holds },
      },
    });
});
