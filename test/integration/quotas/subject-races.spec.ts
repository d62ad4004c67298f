import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { limitAccountId, limitSubjectId } from '../../../src/quotas/limits/account-id.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import type { Account, BudgetGrant } from '../../../src/quotas/quota-store.js';
import { PostgresSlotStore } from '../../../src/quotas/slots/postgres-slot-store.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { entryOf } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { accountOfLimit, insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const AT_ONCE = 32;
const CALLER = randomUUID();
const TERMS = { defaultHold: 0n, ceiling: 10n ** 15n };

describe('Accounts of subjects in PostgreSQL', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let store: PostgresQuotaStore;
  let slots: PostgresSlotStore;
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
    slots = new PostgresSlotStore(database.sql);
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
    await database.asOwner('UPDATE budget_account SET spent_micro_cents = 0', []);
  });

  const create = (draft: Parameters<typeof insertLimit>[1]) =>
    insertLimit(database.asOwner, { per: 'day', each: 'subject', ...draft });
  const accountOf = ({ id, unit, per }: LimitRow, subject: string): Account => {
    const member = limitSubjectId(subject);
    const limit = { id, member, subject, ...(unit === 'cents' ? {} : { unit }) };
    return { id: limitAccountId(id, member), type: per === null ? 'total' : 'monthly', limit };
  };
  const take = async (account: Account, amount = 1n): Promise<BudgetGrant> => {
    const { budgets } = await store.acquire({
      ...{ replicaId: 'one', liveReplicas: 1, windows: [] },
      budgets: [{ account, kind: 'pooled', leaseId: randomUUID(), want: 0n, needs: [{ amount, own: null }] }],
    });
    return budgets[0]!;
  };
  const takeSlot = async (account: Account, leaseId = randomUUID()) => {
    const { calls } = await slots.take({ replicaId: 'one', calls: [{ needs: [{ account, leaseId }], ttlSeconds: 1 }] });
    return calls[0]!;
  };
  const counted = (limit: LimitRow) => database.countSubjects(limit.id);
  const fill = ({ id, unit }: LimitRow, subjects: number) =>
    database.asOwner(
      `INSERT INTO limit_subject_count (limit_id, period, part, subjects)
       SELECT $1, CASE WHEN $3 = 'slots' THEN 'total' ELSE to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') END, 99, $2`,
      [id, subjects, unit],
    );
  const newKey = async (): Promise<string> => {
    const id = randomUUID();
    await database.createKey(id, null, 'total');
    return id;
  };
  const sweep = async (rows = 100) =>
    (await database.sql('SELECT limit_subjects_sweep($1) AS swept', [rows]))[0]!.swept as number;

  it('are named alike in SQL and in TypeScript', async () => {
    for (const subject of ['a', '!', '~', 'user-4711', '"quoted\\\\"', '{,}', 'x'.repeat(128)]) {
      const [row] = await database.sql('SELECT limit_subject_id($1) AS id', [subject]);
      expect(row!.id).toBe(limitSubjectId(subject));
    }
  });

  it('are counted once, however many calls name a subject at the same time', async () => {
    const limit = await create({ amount: 1_000n });
    const grants = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, at) => take(accountOf(limit, `user-${at % 4}`), at % 2 === 0 ? 1n : 0n)),
    );
    expect(grants.map(({ verdicts }) => verdicts[0])).toEqual(grants.map(() => true));
    expect(await counted(limit)).toEqual([4, 4]);
  });

  it('are noted before an account is locked, also by a call beside which another one takes', async () => {
    const [shared, each] = [await create({ amount: 1_000n, each: null }), await create({ amount: 1_000n })];
    const [taken, looked] = [accountOfLimit(shared), accountOf(each, 'new')];
    await take(taken);
    const blocker = new Client({ connectionString: database.url });
    await blocker.connect();
    await blocker.query('BEGIN');
    await blocker.query(
      `SELECT limit_subjects_note(ARRAY[$1::uuid], ARRAY[$2::uuid], ARRAY[$3::uuid], ARRAY['new'], true)`,
      [...[looked.id, each.id, looked.limit!.member]],
    );
    const both = store.acquire({
      ...{ replicaId: 'one', liveReplicas: 1, windows: [] },
      budgets: [looked, taken].map((account, at) => ({
        ...{ account, kind: 'pooled', leaseId: randomUUID(), want: 0n, needs: [{ amount: BigInt(at), own: null }] },
      })),
    });
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%limit_subjects_note%'`;
    while ((await database.asOwner(waiting, [])).length === 0);
    const free = await blocker.query('SELECT FROM budget_account WHERE key_id = $1 FOR UPDATE SKIP LOCKED', [taken.id]);
    await blocker.query('COMMIT');
    await blocker.end();
    expect(free.rowCount).toBe(1);
    expect((await both).budgets).toMatchObject([
      { found: true, slice: 0n, verdicts: [true] },
      { found: true, slice: 1n, verdicts: [true] },
    ]);
    expect(await counted(each)).toEqual([1, 1]);
  });

  it('are no more than there may be, but for those that came at the same time', async () => {
    const limit = await create({ amount: 1_000n });
    await fill(limit, 99_990);
    const subjects = Array.from({ length: AT_ONCE }, (_, at) => `user-${at}`);
    const grants = await Promise.all(subjects.map((subject) => take(accountOf(limit, subject))));
    const admitted = subjects.filter((_, at) => grants[at]!.found);
    expect(admitted.length).toBeGreaterThanOrEqual(10);
    expect(await counted(limit)).toEqual([admitted.length, 99_990 + admitted.length]);
    // What was refused left nothing.
    const [row] = await database.asOwner('SELECT count(*)::int AS count FROM budget_account WHERE limit_id = $1', [
      limit.id,
    ]);
    expect(row!.count).toBe(admitted.length);
    expect(await take(accountOf(limit, 'one-more'))).toMatchObject({ found: false, isFull: true, slice: 0n });
    expect(await take(accountOf(limit, 'one-more'), 0n)).toMatchObject({ found: false, isFull: true });
    expect(await take(accountOf(limit, admitted[0]!))).toMatchObject({ found: true });
    const other = await create({ amount: 1_000n });
    expect(await take(accountOf(other, 'one-more'))).toMatchObject({ found: true });
  });

  it('are charged by a late report when they were swept, with the limit and the member that they are of', async () => {
    const [key, limit] = [await newKey(), await create({ amount: 1_000n })];
    const account = accountOf(limit, 'eve');
    // Nothing is taken, so there is no account: only the subject is known.
    expect(await take(account, 0n)).toMatchObject({ found: true });
    const holds = [{ accountId: account.id, period: '2026-01-05', leaseId: randomUUID() }];
    const [result] = await writer.write([
      entryOf(CALLER, {
        ...{ id: randomUUID(), keyId: key, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents: 70n },
        ...{
          model: null,
          chatbot: null,
          endpoint: null,
          statusCode: null,
          latencyMs: null,
          occurredAt: null,
          tags: [],
        },
        reservation: {
          ...{ keyId: key, reservationId: randomUUID(), callerId: CALLER, amount: 100n, tokens: 0n },
          ...{ month: '2026-01-01', expiresAtMs: 0, isDefaultHold: false, holds },
        },
      }),
    ]);
    expect(result).toMatchObject({ outcome: 'accepted', isLate: true });
    const [row] = await database.asOwner(
      'SELECT limit_id, member_id, spent_micro_cents::int AS spent FROM budget_account WHERE key_id = $1',
      [account.id],
    );
    expect(row).toEqual({ limit_id: limit.id, member_id: limitSubjectId('eve'), spent: 70 });
    expect(await reconcileBudgets(pool)).toEqual([]);
  });

  it('are charged by reports of many services at the same time, each subject by its own', async () => {
    const [key, limit] = [await newKey(), await create({ amount: 10n })];
    const report = (subject: string) =>
      entryOf(CALLER, {
        ...{ id: randomUUID(), keyId: key, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents: 3n, subject },
        ...{
          model: null,
          chatbot: null,
          endpoint: null,
          statusCode: null,
          latencyMs: null,
          occurredAt: null,
          tags: [],
        },
        reservation: null,
      });
    await Promise.all(
      Array.from({ length: AT_ONCE }, (_, at) =>
        writer.write([report(`user-${at % 3}`), report(`user-${(at + 1) % 3}`)]),
      ),
    );
    const rows = await database.asOwner(
      'SELECT spent_micro_cents::int AS spent FROM budget_account WHERE limit_id = $1',
      [limit.id],
    );
    expect(rows.reduce((sum, { spent }) => sum + (spent as number), 0)).toBe(2 * AT_ONCE * 3);
    expect(await counted(limit)).toEqual([3, 3]);
    expect(await reconcileBudgets(pool)).toEqual([]);
  });

  it('are kept as long as a report may charge them, and forgotten after that', async () => {
    const limit = await create({ amount: 1_000n });
    await take(accountOf(limit, 'eve'));
    await take(accountOf(limit, 'sam'), 0n);
    const age = (days: number) =>
      database.asOwner(`UPDATE limit_subject SET period = to_char(now() - make_interval(days => $1), 'YYYY-MM-DD')`, [
        days,
      ]);
    await age(100);
    expect(await sweep()).toBe(0);
    await age(110);
    // The other one has an account.
    expect([await sweep(), (await counted(limit))[0]]).toEqual([1, 1]);
    await database.asOwner('DELETE FROM budget_lease', []);
    await database.asOwner('DELETE FROM budget_account WHERE limit_id = $1', [limit.id]);
    expect([await sweep(), (await counted(limit))[0]]).toEqual([1, 0]);
  });

  it('of calls in flight make room a day after the last one, and not while one is in flight', async () => {
    const limit = await create({ unit: 'slots', per: null, amount: 2n });
    const [idle, busy] = [accountOf(limit, 'idle'), accountOf(limit, 'busy')];
    const leaseId = randomUUID();
    expect(await takeSlot(idle, leaseId)).toEqual({ granted: true });
    expect(await takeSlot(busy)).toEqual({ granted: true });
    await slots.free([leaseId]);
    await fill(limit, 99_998);
    expect(await takeSlot(accountOf(limit, 'new'))).toMatchObject({ granted: false, isFull: true });
    expect(await sweep()).toBe(0);
    await database.asOwner(`UPDATE limit_subject SET seen_at = now() - interval '25 hours'`, []);
    expect(await sweep()).toBe(1);
    expect(await counted(limit)).toEqual([1, 99_999]);
    expect(await takeSlot(accountOf(limit, 'new'))).toEqual({ granted: true });
  });

  it('of calls in flight are found by a call that comes while they are swept', async () => {
    const limit = await create({ unit: 'slots', per: null, amount: 100n });
    const account = accountOf(limit, 'eve');
    for (let round = 0; round < 40; round++) {
      const leaseId = randomUUID();
      await takeSlot(account, leaseId);
      await slots.free([leaseId]);
      await database.asOwner(`UPDATE limit_subject SET seen_at = now() - interval '25 hours'`, []);
      const [, ...verdicts] = await Promise.all([sweep(), takeSlot(account), takeSlot(account)]);
      expect(verdicts).toEqual([{ granted: true }, { granted: true }]);
      expect(await counted(limit)).toEqual([1, 1]);
      await database.asOwner('DELETE FROM budget_lease', []);
      await database.asOwner('UPDATE budget_account SET leased_micro_cents = 0 WHERE limit_id = $1', [limit.id]);
    }
  });
});
