import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { limitsMayBegin } from '../../../src/database/older-replicas.js';
import { Quotas } from '../../../src/quotas/quotas.service.js';
import { LimitAccounts, limitRowChanged } from '../../../src/quotas/limits/limit-accounts.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { insertLimit } from '../../support/limits.js';

const CENT = 1_000_000n;

describe('Limits that keys share', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;
  let service: TestUser;
  let changes: Changes;
  const limits: LimitRow[] = [];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000', DEFAULT_RESERVATION_CENTS: '1' }, app.database);
    admin = await app.adminToken();
    service = await app.addUser(['gateway']);
    changes = new Changes(app.dataSource, app.config);
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
    for (const row of limits.splice(0)) await change(row, { endedAt: new Date() });
    // A limit on the whole installation would refuse calls of the next test.
    await app.applied();
  });

  const record = (id: string) => ({
    ...{ resourceType: 'limit', resourceId: id },
    changes: [{ field: 'amount', before: null, after: '1' }],
  });
  const create = async (draft: Parameters<typeof insertLimit>[1]): Promise<LimitRow> => {
    const row = await changes.transaction(systemCaller('limits:create'), async (one) => {
      const made = await insertLimit((sql, values) => one.tx.query(sql, values), draft);
      one.record(record(made.id));
      return made;
    });
    limits.push(row);
    return row;
  };
  const change = async (before: LimitRow, patch: Partial<LimitRow>): Promise<void> => {
    const after = { ...before, ...patch };
    await changes.transaction(systemCaller('limits:update'), async (one) => {
      await one.tx.query('UPDATE quota_limit SET amount = $2, ended_at = $3, mode = $4 WHERE id = $1', [
        ...[after.id, after.amount.toString(), after.endedAt, after.mode],
      ]);
      await limitRowChanged(one.tx, before, after);
      one.record(record(after.id));
    });
  };
  const newOwner = async (): Promise<string> =>
    (await app.post('/users', { token: admin, body: { name: 'Team', kind: 'service' } })).body.id as string;
  const newKey = async (body: Record<string, unknown> = {}): Promise<{ id: string; secret: string }> => {
    const { body: made } = await app.post('/api-keys', { token: admin, body });
    return { id: made.apiKey.id, secret: made.secretKey };
  };
  const verify = async (key: { secret: string }, body: Record<string, unknown> = {}, on = app) =>
    (await on.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  const report = async (event: Record<string, unknown>) =>
    (await app.post('/usage', { token: service.token, body: { events: [{ id: `e${(ids += 1)}`, ...event }] } })).body;
  let ids = 0;
  /** Until every replica has heard of what was changed. */
  const settles = (key: { secret: string }, code: string, body: Record<string, unknown>) =>
    eventually(async () => {
      // The last of several limits gives the code: the others are waited for by the feed.
      await app.applied();
      for (const on of [app, other]) expect((await verify(key, body, on)).code).toBe(code);
    });
  const spent = async (limit: LimitRow) =>
    (
      await app.dataSource.query<{ spent: string }[]>(
        `SELECT coalesce(a.spent_micro_cents, 0) AS spent
           FROM quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) p
           LEFT JOIN budget_account a ON a.limit_id = l.id AND a.period = p.name
          WHERE l.id = $1 AND (a.key_id IS NOT NULL OR l.each IS NULL) ORDER BY 1 DESC`,
        [limit.id],
      )
    ).map((one) => BigInt(one.spent) / CENT);

  it('refuse what goes beyond the sum of all keys of an owner, and say which limit it was', async () => {
    const ownerId = await newOwner();
    const [one, two] = [await newKey({ ownerId }), await newKey({ ownerId })];
    const limit = await create({ targetKind: 'owner', targetId: ownerId, amount: 10n * CENT, per: 'month' });
    await settles(one, 'BUDGET_EXCEEDED', { reserveCents: 11 });
    const first = await verify(one, { reserveCents: 6 });
    expect(first.code).toBe('VALID');
    expect(first.reservation.id.length).toBeLessThanOrEqual(1_024);
    const { code, limit: told, retryAfterSeconds, budget } = await verify(two, { reserveCents: 5 }, other);
    expect([code, told, budget]).toEqual([
      'BUDGET_EXCEEDED',
      {
        id: limit.id,
        name: 'limit',
        unit: 'cents',
        per: 'month',
        state: 'exhausted',
        resetsAt: expect.stringMatching(/-01T00:00/),
      },
      undefined,
    ]);
    expect(retryAfterSeconds).toBeGreaterThan(0);
    expect(await report({ reservationId: first.reservation.id, costCents: 2 })).toMatchObject({ accepted: 1 });
    // The other replica remembers its refusal for a moment.
    await eventually(async () => expect((await verify(two, { reserveCents: 8 }, other)).code).toBe('VALID'));
    expect(await spent(limit)).toEqual([2n]);
  });

  it('take from all accounts or from none, also for long reservations', async () => {
    const ownerId = await newOwner();
    const key = await newKey({ ownerId, budgetLimitCents: 100, budgetType: 'total' });
    const wide = await create({ targetKind: 'owner', targetId: ownerId, amount: 50n * CENT });
    const narrow = await create({ targetKind: 'key', targetId: key.id, amount: 10n * CENT, per: 'day' });
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 11, reservationTtlSeconds: 600 });
    const refused = await verify(key, { reserveCents: 20, reservationTtlSeconds: 600 });
    expect(refused.limit.id).toBe(narrow.id);
    const held = await app.dataSource.query(
      `SELECT coalesce(sum(leased_micro_cents), 0)::int AS held FROM budget_account WHERE limit_id = ANY ($1) OR key_id = $2`,
      [[wide.id, narrow.id], key.id],
    );
    expect(held).toEqual([{ held: 0 }]);
    const granted = await verify(key, { reserveCents: 10, reservationTtlSeconds: 600 });
    expect(granted.code).toBe('VALID');
    expect(await report({ reservationId: granted.reservation.id, costCents: 4 })).toMatchObject({ accepted: 1 });
    expect([await spent(wide), await spent(narrow)]).toEqual([[4n], [4n]]);
  });

  it('bind a key by the project it is in: a move counts at once, what was reserved before stays where it was', async () => {
    const project = async (name: string): Promise<string> =>
      (await app.post('/projects', { token: admin, body: { name } })).body.id as string;
    const [from, to] = [await project('From'), await project('To')];
    const key = await newKey({ projectId: from });
    const former = await create({ targetKind: 'project', targetId: from, amount: 10n * CENT });
    const next = await create({ targetKind: 'project', targetId: to, amount: 2n * CENT });
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 11 });
    const { reservation } = await verify(key, { reserveCents: 5 });
    const moved = await app.post(`/api-keys/${key.id}/transfer?wait=true`, { token: admin, body: { projectId: to } });
    expect(moved.status).toBe(200);
    expect((await verify(key, { reserveCents: 3 }, other)).limit.id).toBe(next.id);
    expect((await verify(key, { reserveCents: 2 }, other)).code).toBe('VALID');
    await report({ reservationId: reservation.id, costCents: 5 });
    await report({ apiKeyId: key.id, costCents: 1 });
    expect([await spent(former), await spent(next)]).toEqual([[5n], [1n]]);
  });

  it('have an account for each key, and bind calls that name no model', async () => {
    const [one, two] = [await newKey(), await newKey()];
    const limit = await create({
      each: 'key',
      amount: 3n * CENT,
      models: ['gpt-*'],
      per: 'week',
      timeZone: 'Asia/Kathmandu',
    });
    await settles(one, 'BUDGET_EXCEEDED', { reserveCents: 4 });
    expect((await verify(one, { reserveCents: 3, model: 'gpt-4' })).code).toBe('VALID');
    expect((await verify(one, { reserveCents: 3 })).code).toBe('BUDGET_EXCEEDED');
    expect((await verify(one, { reserveCents: 300, model: 'claude' })).code).toBe('VALID');
    expect((await verify(two, { reserveCents: 3 }, other)).code).toBe('VALID');
    await report({ apiKeyId: one.id, costCents: 2, model: 'claude' });
    await report({ apiKeyId: one.id, costCents: 1 });
    expect(await spent(limit)).toEqual([1n, 0n]);
  });

  it('that only observe are charged and refuse nothing', async () => {
    const key = await newKey();
    const limit = await create({ amount: 0n, mode: 'observe' });
    await eventually(async () => {
      const { code, reservation } = await verify(key, { reserveCents: 5 });
      expect(code).toBe('VALID');
      await report({ reservationId: reservation.id, costCents: 5 });
      expect(await spent(limit)).not.toEqual([0n]);
    });
    const { checks } = await verify(key, { reserveCents: 5, dryRun: true, explain: true });
    expect(checks.at(-1)).toMatchObject({
      check: 'limit',
      outcome: 'passed',
      detail: expect.stringContaining('only observes'),
    });
    await change(limit, { mode: 'enforce' });
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 1 });
    expect(await verify(key, { reserveCents: 1, dryRun: true })).toMatchObject({
      ...{ valid: false, code: 'BUDGET_EXCEEDED', limit: { id: limit.id, state: 'exhausted' } },
    });
    const explained = await app.post(`/api-keys/${key.id}/explain`, { token: admin, body: { reserveCents: 1 } });
    expect(explained.body).toMatchObject({ valid: false, code: 'BUDGET_EXCEEDED' });
  });

  it('follow a change of their amount within the bound of the feed', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 5n * CENT });
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 6 });
    await change(limit, { amount: 8n * CENT });
    await settles(key, 'VALID', { reserveCents: 1 });
    await change(limit, { amount: 1n * CENT });
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 1 });
    await change(limit, { endedAt: new Date() });
    await settles(key, 'VALID', { reserveCents: 500 });
  });

  it('are charged for calls whose hold was placed in the budget of the key alone', async () => {
    const key = await newKey({ budgetLimitCents: 100, budgetType: 'total' });
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 5n * CENT });
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 6 });
    const { code, reservation } = await verify(key, {}, other);
    expect([code, reservation.cents]).toEqual(['VALID', 1]);
    await report({ reservationId: reservation.id, costCents: 5 });
    expect(await spent(limit)).toEqual([5n]);
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 1 });
  });

  it('tell who reads them which bind a key, from the narrowest to the widest', async () => {
    const ownerId = await newOwner();
    const key = await newKey({ ownerId });
    const all = await create({ amount: 5n * CENT, per: 'day', timeZone: 'Europe/Berlin' });
    const own = await create({ targetKind: 'owner', targetId: ownerId, amount: 9n * CENT, each: 'key' });
    await report({ apiKeyId: key.id, costCents: 2 });
    const bound = await app.app.get(LimitAccounts, { strict: false }).bindingKey(key.id);
    expect(bound.map(({ limit, account }) => [limit.id, account.member, account.spent, account.remaining])).toEqual([
      [own.id, key.id, 2n * CENT, 7n * CENT],
      [all.id, null, 2n * CENT, 3n * CENT],
    ]);
    expect(bound.map(({ account }) => account.endsAt === null)).toEqual([true, false]);
  });

  it('let go what was reserved for a call that is not answered by it', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 10n * CENT });
    await settles(key, 'BUDGET_EXCEEDED', { reserveCents: 11 });
    const { reservation } = await verify(key, { reserveCents: 8, reservationTtlSeconds: 300 });
    const leased = async () =>
      (
        await app.dataSource.query('SELECT leased_micro_cents::text AS n FROM budget_account WHERE key_id = $1', [
          limit.id,
        ])
      )[0].n;
    expect(await leased()).toBe(String(8n * CENT));
    await app.app.get(Quotas, { strict: false }).release(reservation.id);
    await eventually(async () => expect(await leased()).toBe('0'));
  });

  it('may begin only when no replica runs that does not enforce them', async () => {
    const mayBegin = async () => {
      const limits = [
        'cents day',
        'tokens day',
        'requests day',
        'slots',
        'requests minute',
        'requests hour',
        'cents day subject',
      ];
      return Promise.all(
        limits.map((limit) => {
          const [unit = '', per = null, each = null] = limit.split(' ');
          return limitsMayBegin(app.dataSource, { unit, per, each });
        }),
      );
    };
    expect(await mayBegin()).toEqual([true, true, true, true, true, true, true]);
    const older = '00000000-0000-7000-8000-0000000000aa';
    await app.dataSource.query(`INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 3)`, [older]);
    expect(await mayBegin()).toEqual([false, false, false, false, false, false, false]);
    await app.dataSource.query(`UPDATE replica SET build_level = 4 WHERE id = $1`, [older]);
    expect(await mayBegin()).toEqual([true, false, false, false, false, false, false]);
    await app.dataSource.query(`UPDATE replica SET build_level = 5 WHERE id = $1`, [older]);
    expect(await mayBegin()).toEqual([true, true, true, true, false, false, false]);
    await app.dataSource.query(`DELETE FROM replica WHERE id = $1`, [older]);
  });
});
