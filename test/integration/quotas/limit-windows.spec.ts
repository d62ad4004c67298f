import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { accountsOf, nearlyUsed } from '../../../src/limits/account-sql.js';
import { limitAccountId } from '../../../src/quotas/limits/account-id.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { mayWaitForLimits } from '../../../src/quotas/quota-connections.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import type { PermitClose, WindowAsk, WindowGrant, WindowName } from '../../../src/quotas/quota-store.js';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { Random, uuidOf } from '../../simulation/random.js';
import { SlidingStoreModel } from '../../simulation/windows/sliding-store-model.js';
import { insertLimit } from '../../support/limits.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const START = Date.parse('2026-11-10T12:00:00Z');
const MINUTE_MS = 60_000;
const MEMBERS = [uuidOf(1), uuidOf(2), uuidOf(3)];

describe('Windows of limits in PostgreSQL', () => {
  let database: QuotaDatabase;
  let pool: DataSource;
  let store: PostgresQuotaStore;
  const names: string[] = [];
  let nowMs = START;

  beforeAll(async () => {
    database = await createQuotaDatabase();
    const options = { type: 'postgres' as const, url: database.url, poolSize: 20, installExtensions: false };
    pool = await new DataSource(options).initialize();
    store = new PostgresQuotaStore((text, values, name) => {
      names.push(name ?? '');
      return database.sql(text, values);
    });
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    for (const table of ['rate_window', 'quota_limit']) await database.asOwner(`DELETE FROM ${table}`, []);
    await tick(START);
  });

  const tick = async (ms: number): Promise<void> => {
    nowMs = ms;
    await database.setClock(ms);
  };
  const create = (draft: Partial<LimitRow> & { amount: bigint }) =>
    insertLimit(database.asOwner, { unit: 'requests', per: 'minute', ...draft });
  const askOf = (limit: LimitRow, member: string | null, more: Partial<WindowAsk>): WindowAsk => ({
    ...{ id: limitAccountId(limit.id, member), window: limit.per as WindowName, limit: 1, want: 0, few: 0, needs: [] },
    ...{ previous: null, of: { id: limit.id, member, unit: 'requests' as const } },
    ...more,
  });
  const acquire = async (...windows: WindowAsk[]): Promise<readonly WindowGrant[]> =>
    (await store.acquire({ replicaId: 'one', liveReplicas: 1, budgets: [], windows })).windows;
  const take = async (limit: LimitRow, cost: number, member: string | null = null): Promise<WindowGrant> =>
    (await acquire(askOf(limit, member, { needs: [cost] })))[0]!;
  const override = (limit: LimitRow, member: string, amount: number, untilMs: number | null) =>
    database.asOwner(
      `INSERT INTO quota_limit_override (limit_id, member_id, amount, until) VALUES ($1, $2, $3, to_timestamp($4::numeric / 1000))
       ON CONFLICT (limit_id, member_id) DO UPDATE SET amount = excluded.amount, until = excluded.until`,
      [limit.id, member, amount, untilMs],
    );
  const change = (limit: LimitRow, fields: string) =>
    database.asOwner(`UPDATE quota_limit SET ${fields} WHERE id = $1`, [limit.id]);
  const stateOf = async (limit: LimitRow, member: string | null = null): Promise<[number, number] | null> => {
    const rows = await database.asOwner(
      `SELECT s.used::int AS used, s.reset_ms::int AS reset FROM rate_window w
         CROSS JOIN LATERAL limit_window_state($2, w.at_ms, w.minute_cells, w.hour_cells, quota_ms(quota_clock())) s WHERE key_id = $1`,
      [limitAccountId(limit.id, member), limit.per],
    );
    const row = rows[0] as { used: number; reset: number } | undefined;
    return row === undefined ? null : [row.used, row.reset];
  };
  const sweep = async (): Promise<number> =>
    ((await database.sql('SELECT limit_windows_sweep(100) AS swept', []))[0] as { swept: number }).swept;
  const isSound = async () => expect(await reconcileBudgets(pool)).toEqual([]);

  it('give no more than the amount to replicas that ask at once, by minute and by hour', async () => {
    for (const per of ['minute', 'hour'] as const) {
      const limit = await create({ amount: 20n, per });
      const grants = await Promise.all(Array.from({ length: 32 }, () => take(limit, 1)));
      expect(grants.filter(({ verdicts }) => verdicts[0] === true)).toHaveLength(20);
      expect((await stateOf(limit))?.[0]).toBe(20);
      expect(grants.every(({ inForce }) => inForce?.amount === 20 && inForce.least === 20)).toBe(true);
    }
    await isSound();
  });

  it('count members apart, and what all calls share together, under the name of the limit', async () => {
    const each = await create({ amount: 2n, each: 'key' });
    expect((await take(each, 2, MEMBERS[0])).verdicts).toEqual([true]);
    expect((await take(each, 1, MEMBERS[0])).verdicts).toEqual([false]);
    expect((await take(each, 2, MEMBERS[1])).verdicts).toEqual([true]);
    const rows = await database.asOwner('SELECT limit_id, member_id FROM rate_window ORDER BY member_id', []);
    expect(rows).toEqual([MEMBERS[0], MEMBERS[1]].map((member) => ({ limit_id: each.id, member_id: member })));
    await isSound();
  });

  it('are locked after those of keys by who gives permits back, as by who takes them', async () => {
    const limit = await create({ id: uuidOf(1), amount: 100n });
    const own: WindowAsk = { ...askOf(limit, null, { needs: [1] }), id: uuidOf(2), limit: 100, of: undefined };
    const asks = [own, askOf(limit, null, { needs: [1] })];
    const grants = await acquire(...asks);
    const blocker = new Client({ connectionString: database.url });
    await blocker.connect();
    await blocker.query('BEGIN');
    await blocker.query('SELECT FROM rate_window WHERE key_id = $1 FOR UPDATE', [own.id]);
    const back = store.giveBack({
      leases: [],
      windows: asks.map(({ id, window, of }, at) => ({
        ...{ id, window, of, bucket: grants[at]!.bucket, granted: grants[at]!.permits, used: 0 },
      })),
    });
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%quota_windows%'`;
    while ((await database.asOwner(waiting, [])).length === 0);
    const free = await blocker.query('SELECT FROM rate_window WHERE key_id = $1 FOR UPDATE SKIP LOCKED', [limit.id]);
    await blocker.query('COMMIT');
    await blocker.end();
    await back;
    // Its name says that it may wait for what keys share, so that it goes over a session of its own.
    expect(mayWaitForLimits(names.at(-1)!)).toBe(true);
    expect(free.rowCount).toBe(1);
    expect((await stateOf(limit))?.[0]).toBe(0);
  });

  it('have the amount of the rule at once, and say when a call is too large for it', async () => {
    const limit = await create({ amount: 5n });
    expect((await take(limit, 5)).verdicts).toEqual([true]);
    await change(limit, 'amount = 8');
    expect((await take(limit, 3)).verdicts).toEqual([true]);
    await change(limit, 'amount = 1');
    const refused = await take(limit, 2);
    expect(refused).toMatchObject({ verdicts: [false], retryMs: 0, inForce: { amount: 1, least: 1 } });
    await change(limit, 'amount = 8');
    expect((await take(limit, 2)).retryMs).toBeGreaterThan(MINUTE_MS - 3_000);
  });

  it('grant by an override until it ends, and nothing that outlives it', async () => {
    const limit = await create({ amount: 10n, each: 'owner' });
    await override(limit, MEMBERS[0]!, 1_000, nowMs + 400);
    const ask = askOf(limit, MEMBERS[0]!, { needs: [1], want: 20, few: 20 });
    const [grant] = await acquire(ask);
    expect(grant).toMatchObject({ verdicts: [true], validForMs: 400, inForce: { amount: 1_000, least: 10 } });
    expect(grant!.permits).toBeGreaterThan(1);
    await tick(nowMs + 400);
    expect((await take(limit, 10, MEMBERS[0])).verdicts).toEqual([false]);
    // One that ends within an hour has no leases that stand as long.
    await override(limit, MEMBERS[1]!, 1_000, nowMs + 1_800_000);
    const [other] = await acquire(askOf(limit, MEMBERS[1]!, { needs: [1], want: 20, few: 20 }));
    expect(other!.validForMs).toBeLessThanOrEqual(15_000);
    await override(limit, MEMBERS[2]!, 1_000, null);
    const [standing] = await acquire(askOf(limit, MEMBERS[2]!, { needs: [1], want: 20, few: 20 }));
    expect(standing!.validForMs).toBe(3_600_000);
  });

  it('refuse nothing while they observe, and have counted it when they are enforced', async () => {
    const limit = await create({ amount: 3n, mode: 'observe' });
    for (let calls = 0; calls < 5; calls++)
      expect(await take(limit, 1)).toMatchObject({ verdicts: [true], inForce: { amount: 3, least: null } });
    await change(limit, `mode = 'enforce'`);
    expect((await take(limit, 1)).verdicts).toEqual([false]);
    await change(limit, 'ended_at = now()');
    expect((await take(limit, 1)).verdicts).toEqual([true]);
    await isSound();
  });

  it('let pass uncounted what an observing limit cannot count any more', async () => {
    const limit = await create({ amount: 3n, mode: 'observe' });
    await take(limit, 1);
    await database.asOwner(
      `UPDATE rate_window SET sums[1] = 2000000000, minute_cells = ARRAY[(minute_cells[1] >> 32 << 32) + 2000000000]`,
      [],
    );
    expect(await take(limit, 1_000)).toMatchObject({ verdicts: ['uncounted'], permits: 0 });
  });

  it('are swept when nothing in them counts any more, and not before', async () => {
    const [minute, hour] = [await create({ amount: 9n }), await create({ amount: 9n, per: 'hour' })];
    await Promise.all([take(minute, 2), take(hour, 3)]);
    await database.createKey(MEMBERS[0]!, null, 'total');
    const own = { id: MEMBERS[0]!, window: 'minute', limit: 5, want: 0, few: 0, needs: [1], previous: null } as const;
    await acquire(own);
    await tick(START + 61_000);
    expect([await sweep(), (await stateOf(minute))?.[0]]).toEqual([0, 2]);
    await tick(START + 62_000);
    expect([await sweep(), await stateOf(minute), (await stateOf(hour))?.[0]]).toEqual([1, null, 3]);
    await tick(START + 2 * 3_600_000);
    expect([await sweep(), await sweep()]).toEqual([1, 0]);
    expect(await database.asOwner('SELECT key_id FROM rate_window', [])).toEqual([{ key_id: MEMBERS[0] }]);
    // What comes back for a row that is gone is ignored, and the next call makes it anew, with its name.
    const close = { bucket: Math.floor(START / 2_000), granted: 2, used: 2 };
    await store.giveBack({ leases: [], windows: [{ id: minute.id, window: 'minute', ...close }] });
    await take(minute, 1);
    expect(await stateOf(minute)).toEqual([1, expect.any(Number)]);
    await isSound();
  });

  it('are named once, however many calls make them at once', async () => {
    const limit = await create({ amount: 1_000n, each: 'key' });
    const members = Array.from({ length: 40 }, () => randomUUID());
    const asks = members.map((member) => askOf(limit, member, { needs: [1] }));
    await Promise.all([
      ...Array.from({ length: 6 }, () => acquire(...asks)),
      // Asks ahead wait for no row, and name none that another call is making.
      ...Array.from({ length: 6 }, () => acquire(...asks.map((ask) => ({ ...ask, needs: [], want: 1 })))),
      ...Array.from({ length: 4 }, sweep),
    ]);
    const [row] = (await database.asOwner(
      'SELECT count(*)::int AS rows, count(limit_id)::int AS named FROM rate_window',
      [],
    )) as [{ rows: number; named: number }];
    expect(row).toEqual({ rows: 40, named: 40 });
    await isSound();
  });

  describe('do as the model does', () => {
    let random: Random;
    let model: SlidingStoreModel;
    const rows = new Map<string, LimitRow>();
    const held: (PermitClose & { id: string; window: WindowName })[] = [];

    const add = async (): Promise<void> => {
      const [each, per] = [random.pick([null, 'key', 'subject'] as const), random.pick(['minute', 'hour'] as const)];
      const [amount, mode] = [random.pick([0, 7, 60, 400]), random.pick(['enforce', 'enforce', 'observe'] as const)];
      const row = await create({ amount: BigInt(amount), each, per, mode });
      rows.set(row.id, row);
      model.limits.set(row.id, {
        ...{ id: row.id, target: { kind: 'installation', id: '' }, per, models: [], amount, mode },
        // To the model a member is a member.
        ...{ each: each === null ? null : 'key', overrides: new Map(), isDeleted: false },
      });
    };
    const changeOne = async (): Promise<void> => {
      const row = random.pick([...rows.values()]);
      const rule = model.limits.get(row.id)!;
      const dice = random.next();
      if (dice < 0.3) rule.amount = random.pick([0, 3, 60, 900]);
      else if (dice < 0.5) rule.mode = rule.mode === 'observe' ? 'enforce' : 'observe';
      await change(row, `amount = ${rule.amount}, mode = '${rule.mode}'`);
      if (rule.each === null) return;
      const [member, amount] = [random.pick(MEMBERS), random.pick([1, 30, 3_000])];
      const untilMs = random.chance(0.7) ? nowMs + random.pick([700, 40_000, 7_200_000]) : null;
      rule.overrides.set(member, { amount, untilMs });
      await override(row, member, amount, untilMs);
    };
    const giveOneBack = async (): Promise<void> => {
      if (held.length === 0) return;
      const [close] = held.splice(random.between(0, held.length - 1), 1);
      const back = { leases: [], windows: [{ ...close!, used: random.between(0, close!.granted) }] };
      await store.giveBack(back);
      model.giveBack(back);
    };
    const askAll = async (): Promise<void> => {
      const asks = [...rows.values()]
        .filter(() => random.chance(0.6))
        .map((one) => {
          const member = one.each === null ? null : random.pick(MEMBERS);
          const needs = Array.from({ length: random.between(0, 3) }, () => random.between(1, 5));
          const want = needs.length === 0 ? random.between(1, 30) : random.between(0, 30);
          const ask = askOf(one, member, { needs, want, few: random.pick([0, 0, 4]) });
          // The text of a subject is noted on the way.
          return one.each === 'subject' && member !== null ? { ...ask, of: { ...ask.of!, subject: member } } : ask;
        });
      if (asks.length === 0) return;
      const request = { replicaId: 'one', liveReplicas: 2, budgets: [], windows: asks };
      const { windows } = await store.acquire(request);
      expect(windows).toEqual(model.acquire(request));
      windows.forEach(({ bucket, permits }, index) => {
        const { id, window } = asks[index]!;
        if (permits > 0) held.push({ id, window, bucket, granted: permits, used: 0 });
      });
    };

    it.each([1, 2, 3, 4])('over random operations (%i)', async (seed) => {
      random = new Random(seed * 7_919);
      model = new SlidingStoreModel(() => nowMs);
      rows.clear();
      held.length = 0;
      for (let count = 0; count < 3; count++) await add();
      for (let step = 0; step < 120; step++) {
        await tick(nowMs + random.pick([0, 300, 2_500, 20_000, 70_000]));
        const dice = random.next();
        if (dice < 0.15) await changeOne();
        else if (dice < 0.2) expect(await sweep()).toBe(model.sweep());
        else if (dice < 0.35) await giveOneBack();
        else await askAll();
      }
      await isSound();
    });
  });

  it('are listed by statements that call no function for a row', async () => {
    const limit = await create({ amount: 10n, per: 'hour', each: 'key' });
    const list = accountsOf('SELECT * FROM quota_limit WHERE id = $1', '-used', 50, { usedAbove: '80::numeric' });
    for (const statement of [list, nearlyUsed('SELECT * FROM quota_limit WHERE id = $1', '80::numeric')]) {
      const rows = (await database.asOwner(`EXPLAIN (VERBOSE) ${statement}`, [limit.id])) as Record<string, string>[];
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      expect(plan).toContain('rate_window');
      expect(plan.match(/limit_window_state\(|limit_account_id_2\(/g)).toBeNull();
    }
  });
});
