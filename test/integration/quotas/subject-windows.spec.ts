import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { limitsMayBegin, misreadLimits } from '../../../src/database/older-replicas.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import { limitAccountId, limitSubjectId } from '../../../src/quotas/limits/account-id.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import {
  type BudgetRequest,
  MOST_OF_WINDOW,
  type RateWindow,
  WINDOW,
  type WindowAsk,
  type WindowGrant,
} from '../../../src/quotas/quota-store.js';
import { markOf } from '../../../src/quotas/token-windows.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { type BookEntry, entryOf, type UsageReport } from '../../../src/usage/usage-entry.js';
import { insertUsageStatement } from '../../../src/usage/usage-insert.js';
import { Random } from '../../simulation/random.js';
import { insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const START = Date.parse('2026-11-10T12:00:00Z');
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const TERMS = { defaultHold: 0n, ceiling: 10n ** 15n };
const CALLER = randomUUID();
const REPLICAS = ['one', 'two', 'three'];

describe('Windows of subjects in PostgreSQL', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let store: PostgresQuotaStore;
  let key: string;
  let nowMs = START;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    const options = { type: 'postgres' as const, url: database.url, poolSize: 20, installExtensions: false };
    pool = await new DataSource(options).initialize();
    store = new PostgresQuotaStore(database.sql);
    key = randomUUID();
    await database.createKey(key, null, 'total');
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    for (const table of ['rate_window', 'budget_lease', 'budget_account WHERE limit_id IS NOT NULL', 'quota_limit'])
      await database.asOwner(`DELETE FROM ${table}`, []);
    await tick(START);
  });

  const tick = async (ms: number): Promise<void> => {
    nowMs = ms;
    await database.setClock(ms);
  };
  const create = (draft: Partial<LimitRow> = {}) =>
    insertLimit(database.asOwner, { unit: 'requests', per: 'minute', amount: 30n, each: 'subject', ...draft });
  const windowOf = ({ id, unit, per, each }: LimitRow, subject: string): RateWindow => {
    const member = each === null ? null : limitSubjectId(subject);
    const of = { id, member, ...(each === null ? {} : { subject }), unit: unit as 'requests' | 'tokens' };
    return { id: limitAccountId(id, member), window: per as 'minute' | 'hour', limit: MOST_OF_WINDOW, of };
  };
  const askOf = (limit: LimitRow, subject: string, ...needs: number[]): WindowAsk => ({
    ...windowOf(limit, subject),
    ...{ limit: 0, want: 0, few: 0, needs, previous: null },
  });
  const acquire = async (...windows: WindowAsk[]): Promise<readonly WindowGrant[]> =>
    (await store.acquire({ replicaId: 'one', liveReplicas: 1, budgets: [], windows })).windows;
  const take = async (limit: LimitRow, subject: string, need = 1): Promise<WindowGrant> =>
    (await acquire(askOf(limit, subject, need)))[0]!;
  const usedOf = async (limit: LimitRow, subject = ''): Promise<number | null> => {
    const [row] = await database.asOwner(
      `SELECT s.used::int AS used FROM rate_window w
         CROSS JOIN LATERAL limit_window_state($2, w.at_ms, w.minute_cells, w.hour_cells, quota_ms(quota_clock())) s
        WHERE key_id = $1 AND limit_id = $3`,
      [windowOf(limit, subject).id, limit.per, limit.id],
    );
    return (row?.used as number | undefined) ?? null;
  };
  const counted = (limit: LimitRow) => database.countSubjects(limit.id);
  const fill = ({ id }: LimitRow, subjects: number) =>
    database.asOwner(
      `INSERT INTO limit_subject_count (limit_id, period, part, subjects) VALUES ($1, 'window', 99, $2)`,
      [...[id, subjects]],
    );
  const budgetOf = ({ id }: LimitRow, subject: string, amount: bigint): BudgetRequest => {
    const member = limitSubjectId(subject);
    const limit = { id, member, subject, unit: 'tokens' as const };
    const account = { id: limitAccountId(id, member), type: 'monthly' as const, limit };
    return { account, kind: 'pooled', leaseId: randomUUID(), want: 0n, needs: [{ amount, own: null }] };
  };
  const sweep = async (what: 'windows' | 'subjects'): Promise<number> =>
    (await database.sql(`SELECT limit_${what}_sweep(100) AS swept`, []))[0]!.swept as number;
  const book = async (...entries: BookEntry[]): Promise<void> => {
    const { text, values } = insertUsageStatement(entries, TERMS);
    await database.sql(text, values as unknown[]);
  };
  const reportOf = (given: Partial<UsageReport>): BookEntry =>
    entryOf(CALLER, {
      ...{ id: randomUUID(), keyId: key, reservation: null, requests: 1, inputTokens: 0, outputTokens: 0 },
      ...{ costMicroCents: 0n, model: null, chatbot: null, endpoint: null, statusCode: null, latencyMs: null },
      ...{ occurredAt: null, tags: [], ...given },
    });
  const isSound = async () => expect(await reconcileBudgets(pool)).toEqual([]);

  it('let each subject call as often as the limit says, over three replicas, and a refused call counts nowhere', async () => {
    const [each, all] = [await create(), await create({ each: null, amount: 1_000n })];
    const clock = {
      monotonicMs: () => performance.now(),
      wallMs: () => Date.now(),
      after: (delayMs: number, run: () => void) => void setTimeout(run, delayMs).unref(),
    };
    const replicas = REPLICAS.map((replicaId) => {
      const manager = new LeaseManager(store, clock, randomUUID, { replicaId, acquireTimeoutMs: 60_000 });
      manager.setLiveReplicas(REPLICAS.length);
      return manager;
    });
    const admitted = new Map([
      ['eve', 0],
      ['sam', 0],
    ]);
    const call = async (subject: string, at: number): Promise<string> => {
      const windows = [windowOf(each, subject), windowOf(all, subject)];
      const request = { accounts: [], windows, cost: 1, reserve: 0n, ttlSeconds: 60, isDefaultHold: false };
      const admission = await replicas[at % replicas.length]!.admit(request);
      if (!admission.admitted) return admission.code;
      admitted.set(subject, admitted.get(subject)! + 1);
      return 'VALID';
    };
    const callAll = (subject: string, calls: number) =>
      Promise.all(Array.from({ length: calls }, (_, at) => call(subject, at)));
    const refusals = new Set<string>();
    // A replica that has permits in hand gives them back when it does not use them.
    do {
      for (const code of await callAll('eve', 60)) if (code !== 'VALID') refusals.add(code);
      expect(admitted.get('eve')).toBeLessThanOrEqual(30);
      await sleep(20);
    } while (admitted.get('eve')! < 30);
    expect([...refusals]).toEqual(['RATE_LIMITED']);
    expect(await callAll('eve', 9)).toEqual(Array.from({ length: 9 }, () => 'RATE_LIMITED'));
    expect(await callAll('sam', 9)).toEqual(Array.from({ length: 9 }, () => 'VALID'));
    await Promise.all(replicas.map((replica) => replica.stop(10_000)));
    expect([await usedOf(each, 'eve'), await usedOf(each, 'sam'), await usedOf(all)]).toEqual([30, 9, 39]);
    expect(await counted(each)).toEqual([2, 2]);
    await isSound();
  });

  describe.each([
    ['requests', 'minute'],
    ['requests', 'hour'],
    ['tokens', 'minute'],
  ] as const)('of %s by %s', (unit, per) => {
    it('are no more than there may be: a subject too many has none, beside those that go on', async () => {
      const [limit, other] = [await create({ unit, per }), await create({ unit, per })];
      expect((await take(limit, 'eve')).verdicts).toEqual([true]);
      await fill(limit, 99_999);
      const asks = [
        askOf(limit, 'new', 1, 2),
        { ...askOf(limit, 'eve', 2), want: 3 },
        askOf(other, 'new', 1),
        askOf(limit, 'newer', 5),
        askOf(limit, 'eve', 30, 4),
      ];
      const [tooMany, known, elsewhere, newer, more] = (await acquire(...asks)) as [
        ...[WindowGrant, WindowGrant, WindowGrant, WindowGrant, WindowGrant],
      ];
      const refused = { permits: 0, validForMs: 0, isFull: true };
      expect([tooMany, newer]).toMatchObject([
        { verdicts: [false, false], ...refused },
        { verdicts: [false], ...refused },
      ]);
      expect([known, elsewhere, more]).toMatchObject([
        { verdicts: [true], inForce: { amount: 30 } },
        { verdicts: [true], inForce: { amount: 30 } },
        { verdicts: [false, true] },
      ]);
      expect(known.isFull).toBeUndefined();
      const [row] = await database.asOwner('SELECT count(*)::int AS windows FROM rate_window', []);
      expect(row!.windows).toBe(2);
      expect(await usedOf(limit, 'eve')).toBe(1 + known.permits + more.permits);
      expect(await counted(limit)).toEqual([1, 100_000]);
      await isSound();
    });

    it('are not refused for their number where the limit observes', async () => {
      const limit = await create({ unit, per, mode: 'observe' });
      await fill(limit, 100_000);
      expect(await take(limit, 'new', 3)).toMatchObject({ verdicts: [true] });
      expect(await usedOf(limit, 'new')).toBe(3);
    });

    it('are swept when nothing in them counts, and their subject two hours after it was last seen', async () => {
      const limit = await create({ unit, per });
      await take(limit, 'eve');
      await tick(nowMs + (per === 'hour' ? HOUR_MS + MINUTE_MS : MINUTE_MS + 2_000));
      expect([await sweep('windows'), await sweep('subjects'), await usedOf(limit, 'eve')]).toEqual([1, 0, null]);
      // It is seen again, which is noted once an hour.
      await tick(START + 70 * MINUTE_MS);
      await take(limit, 'eve');
      await tick(START + 3 * HOUR_MS);
      expect([await sweep('windows'), await sweep('subjects')]).toEqual([1, 0]);
      await tick(START + 70 * MINUTE_MS + 2 * HOUR_MS + 1);
      await fill(limit, 99_999);
      expect(await take(limit, 'new')).toMatchObject({ isFull: true });
      expect([await sweep('subjects'), await counted(limit)]).toEqual([1, [0, 99_999]]);
      expect(await take(limit, 'new')).toMatchObject({ verdicts: [true] });
    });
  });

  it('keep their subject while something counts in them, and while it has an amount of its own', async () => {
    const limit = await create({ per: 'hour' });
    await Promise.all([take(limit, 'eve'), take(limit, 'sam')]);
    await database.asOwner('INSERT INTO quota_limit_override (limit_id, member_id, amount) VALUES ($1, $2, 50)', [
      ...[limit.id, limitSubjectId('sam')],
    ]);
    await tick(START + 3 * HOUR_MS);
    expect(await sweep('subjects')).toBe(0);
    expect([await sweep('windows'), await sweep('subjects'), await counted(limit)]).toEqual([2, 1, [1, 1]]);
    expect((await take(limit, 'sam', 50)).verdicts).toEqual([true]);
  });

  it('are found by calls that come while they are swept', async () => {
    const limit = await create({ amount: 1_000n });
    for (let round = 0; round < 20; round++) {
      await take(limit, 'eve');
      await tick(nowMs + 3 * HOUR_MS);
      const sweeps = sweep('windows').then(() => sweep('subjects'));
      const [, ...grants] = await Promise.all([sweeps, take(limit, 'eve'), take(limit, 'eve')]);
      expect(grants.map(({ verdicts }) => verdicts)).toEqual([[true], [true]]);
      expect([await counted(limit), await usedOf(limit, 'eve')]).toEqual([[1, 1], 2]);
    }
  });

  it('are noted with calls, and not with what is asked for ahead', async () => {
    const limit = await create({ amount: 1_000n });
    await acquire({ ...askOf(limit, 'eve'), want: 5 });
    expect(await counted(limit)).toEqual([0, 0]);
    await take(limit, 'eve');
    expect(await counted(limit)).toEqual([1, 1]);
  });

  it('of tokens are made again by a late report that used more than was reserved, for the same subject', async () => {
    const limit = await create({ unit: 'tokens', amount: 100n });
    const { bucket, epoch } = await take(limit, 'eve', 10);
    await tick(START + 90_000);
    expect(await sweep('windows')).toBe(1);
    const holds = [{ accountId: windowOf(limit, 'eve').id, period: WINDOW, leaseId: markOf(epoch!, bucket) }];
    const reservation = {
      ...{ keyId: key, reservationId: randomUUID(), callerId: CALLER, amount: 0n, tokens: 10n, holds },
      ...{ month: '2026-11-01', expiresAtMs: START + 60_000, isDefaultHold: false },
    };
    await book(reportOf({ reservation, outputTokens: 25 }));
    const [row] = await database.asOwner('SELECT limit_id, member_id FROM rate_window WHERE limit_id IS NOT NULL', []);
    expect(row).toEqual({ limit_id: limit.id, member_id: limitSubjectId('eve') });
    expect(await usedOf(limit, 'eve')).toBe(15);
  });

  it('count reports without a reservation, and none that names no subject', async () => {
    const limit = await create({ unit: 'tokens', amount: 100n });
    await book(reportOf({ subject: 'eve', inputTokens: 40 }), reportOf({ inputTokens: 500 }));
    await book(reportOf({ subject: 'sam', outputTokens: 3 }));
    expect([await usedOf(limit, 'eve'), await usedOf(limit, 'sam'), await counted(limit)]).toEqual([40, 3, [2, 2]]);
    expect((await take(limit, 'eve', 61)).verdicts).toEqual([false]);
    expect((await take(limit, 'eve', 60)).verdicts).toEqual([true]);
  });

  it('wait for nothing in a circle, whatever calls and reports name new subjects at the same time', async () => {
    const limits = [
      await create({ amount: 1_000_000n }),
      await create({ unit: 'tokens', amount: 1_000_000n }),
      await create({ unit: 'tokens', per: 'day', amount: 1_000_000n }),
    ] as const;
    const [requests, byMinute, byDay] = limits;
    const random = new Random(11);
    const subjects = Array.from({ length: 40 }, (_, at) => `user-${at}`);
    let reported = 0;
    // A deadlock would be tried again, and nobody would see it.
    const failures: unknown[] = [];
    const careful = new PostgresQuotaStore((text, values) =>
      database.sql(text, values).catch((error: unknown) => {
        failures.push(error);
        throw error;
      }),
    );
    const run = async (): Promise<void> => {
      for (let round = 0; round < 15; round++) {
        const some = Array.from({ length: 4 }, () => random.pick(subjects));
        if (random.chance(0.5)) {
          reported += 4 * 7;
          await book(...some.map((subject) => reportOf({ subject, inputTokens: 7 })));
        } else {
          const windows = some.flatMap((subject) => [askOf(byMinute, subject, 1), askOf(requests, subject, 1)]);
          const budgets = some.map((subject) => budgetOf(byDay, subject, random.chance(0.5) ? 1n : 0n));
          const answer = await careful.acquire({ replicaId: 'one', liveReplicas: 1, budgets, windows });
          expect([...answer.windows, ...answer.budgets].every(({ verdicts }) => verdicts[0] === true)).toBe(true);
          reported += 4;
        }
      }
    };
    await Promise.all(Array.from({ length: 12 }, run));
    expect(failures).toEqual([]);
    const [row] = await database.asOwner('SELECT sum(sums[1])::int AS used FROM rate_window WHERE limit_id = $1', [
      byMinute.id,
    ]);
    expect(row!.used).toBe(reported);
    for (const limit of limits) {
      const [rows, sum] = await counted(limit);
      expect(sum).toBe(rows);
    }
    await isSound();
  });

  it('begin when every replica notes their subjects, and are named where one does not', async () => {
    const kind = { unit: 'requests', per: 'minute', each: 'subject' };
    const { id } = await create();
    await database.asOwner(
      `INSERT INTO replica (id, applied_seq, build_level, seen_at) VALUES ($1, 0, 6, clock_timestamp())`,
      [CALLER],
    );
    expect([await limitsMayBegin(pool, kind), await limitsMayBegin(pool, { ...kind, per: 'day' })]).toEqual([
      ...[false, true],
    ]);
    expect((await misreadLimits(pool)).map((one) => one.id)).toEqual([id]);
    await database.asOwner('DELETE FROM replica WHERE id = $1', [CALLER]);
    expect([await limitsMayBegin(pool, kind), await misreadLimits(pool)]).toEqual([true, []]);
  });
});
