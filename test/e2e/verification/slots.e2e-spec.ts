import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { limitRowChanged } from '../../../src/quotas/limits/limit-accounts.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { KeyResolver } from '../../../src/verification/key-resolver.js';
import { unavailable } from '../../../src/common/domain-error.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { insertLimit } from '../../support/limits.js';
import { loseShared } from '../../support/made-limits.js';

/** Until a replica has heard of a limit, it is not asked for slots. */
const HEARS_WITHIN_MS = 30_000;

describe('Limits of calls in flight', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;
  let service: TestUser;
  let changes: Changes;
  let ids = 0;
  const limits: LimitRow[] = [];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    // A default hold is placed in budgets of keys, and nowhere else.
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
      const made = await insertLimit((sql, values) => one.tx.query(sql, values), {
        unit: 'slots',
        per: null,
        ...draft,
      });
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
  const newKey = async (
    body: Record<string, unknown> = {},
  ): Promise<{ id: string; secret: string; ownerId: string }> => {
    const { body: made } = await app.post('/api-keys', { token: admin, body });
    return { id: made.apiKey.id, secret: made.secretKey, ownerId: made.apiKey.ownerId };
  };
  const newOwner = async (): Promise<string> =>
    (await app.post('/users', { token: admin, body: { name: 'Team', kind: 'service' } })).body.id as string;
  const verify = async (key: { secret: string }, body: Record<string, unknown> = {}, on = app) =>
    (await on.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  const report = async (reservationId: string, body: Record<string, unknown> = {}, on = app) =>
    (await on.post('/usage', { token: service.token, body: { events: [{ id: `e${++ids}`, reservationId, ...body }] } }))
      .body;
  const release = async (reservationId: string, on = app) =>
    await on.post('/reservations/release', { token: service.token, body: { reservationId } });
  const renew = async (reservationId: string, ttlSeconds = 120, on = app) =>
    await on.post('/reservations/renew', { token: service.token, body: { reservationId, ttlSeconds } });
  const inFlight = async (limit: LimitRow): Promise<number> => {
    const [row] = await app.dataSource.query<{ held: string; rows: string }[]>(
      `SELECT coalesce(sum(a.leased_micro_cents), 0) AS held,
              (SELECT count(*) FROM budget_lease b JOIN budget_account c ON c.key_id = b.key_id WHERE c.limit_id = $1) AS rows
         FROM budget_account a WHERE a.limit_id = $1`,
      [limit.id],
    );
    expect(row!.held).toBe(row!.rows);
    return Number(row!.held);
  };
  /** Until both replicas know that a limit of slots binds the key: its verdicts have a reservation then. */
  const known = (key: { secret: string }) =>
    eventually(async () => {
      // The first of several limits gives a reservation: the others are waited for by the feed.
      await app.applied();
      for (const on of [app, other]) {
        const { reservation } = await verify(key, {}, on);
        expect(reservation).toBeDefined();
        await release(reservation.id as string, on);
      }
    }, HEARS_WITHIN_MS);

  it('let as many calls be in flight, on all replicas together, and refuse the next', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 3n });
    await known(key);
    const calls = [await verify(key), await verify(key, {}, other), await verify(key)];
    expect(calls.map(({ code }) => code)).toEqual(['VALID', 'VALID', 'VALID']);
    expect(await inFlight(limit)).toBe(3);
    const refused = await verify(key, {}, other);
    expect(refused).toMatchObject({
      valid: false,
      code: 'CONCURRENCY_LIMITED',
      detail: 'As many calls are in flight as a limit of the key allows.',
      retryAfterSeconds: 1,
      limit: { id: limit.id, unit: 'slots', per: null, state: 'exhausted' },
    });
    expect(refused.reservation).toBeUndefined();
    // Each end of a call frees its slot, on any replica.
    expect(await report(calls[0].reservation.id, { costCents: 2 }, other)).toMatchObject({ accepted: 1 });
    expect(await inFlight(limit)).toBe(2);
    expect((await release(calls[1].reservation.id)).status).toBe(200);
    expect(await inFlight(limit)).toBe(1);
    await eventually(async () => expect((await verify(key, {}, other)).code).toBe('VALID'));
    await eventually(async () => expect((await verify(key)).code).toBe('VALID'));
    expect(await inFlight(limit)).toBe(3);
  });

  it('hold no money where the key has no budget, also beside a default hold of other keys', async () => {
    const key = await newKey();
    await create({ targetKind: 'key', targetId: key.id, amount: 2n });
    await known(key);
    for (const on of [app, other]) {
      const { reservation } = await verify(key, {}, on);
      expect(reservation).toMatchObject({ cents: 0 });
      await report(reservation.id, {}, on);
    }
    const events = await app.dataSource.query(
      'SELECT cost_micro_cents::int AS cost FROM usage_event WHERE key_id = $1',
      [key.id],
    );
    expect(events).toEqual([{ cost: 0 }, { cost: 0 }]);
  });

  it('are free again where a call that has its slot cannot be decided', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 2n });
    await known(key);
    const resolver = app.app.get(KeyResolver, { strict: false });
    const resolve = resolver.resolve.bind(resolver);
    let asked = 0;
    // As where the feed is lost between the admission and the decision.
    resolver.resolve = (presented) => {
      if (presented !== key.secret || ++asked < 2) return resolve(presented);
      resolver.resolve = resolve;
      return inFlight(limit).then((held) => {
        expect(held).toBe(1);
        throw unavailable('The feed is lost.');
      });
    };
    expect((await verify(key)).code).toBe('UNAVAILABLE');
    await eventually(async () => expect(await inFlight(limit)).toBe(0));
  });

  it('are not freed by a report that is refused', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 2n });
    await known(key);
    const [one, two] = [await verify(key), await verify(key)];
    const event = { id: 'taken-by-one', reservationId: one.reservation.id, costCents: 1 };
    expect((await app.post('/usage', { token: service.token, body: { events: [event] } })).status).toBe(200);
    expect(await inFlight(limit)).toBe(1);
    const taken = { ...event, reservationId: two.reservation.id };
    expect((await app.post('/usage', { token: service.token, body: { events: [taken] } })).status).toBe(409);
    expect(await inFlight(limit)).toBe(1);
    await report(two.reservation.id, { costCents: 1 });
    expect(await inFlight(limit)).toBe(0);
  });

  it('are freed once, by a repeated report and by a release after it', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 2n });
    await known(key);
    const [one] = [await verify(key), await verify(key)];
    const event = { id: 'repeated-slots', reservationId: one.reservation.id, costCents: 1 };
    for (let time = 0; time < 3; time += 1)
      await app.post('/usage', { token: service.token, body: { events: [event] } });
    expect((await release(one.reservation.id)).status).toBe(409);
    expect(await inFlight(limit)).toBe(1);
    const events = await app.dataSource.query(`SELECT charged_accounts FROM usage_event WHERE event_id = $1`, [
      event.id,
    ]);
    expect(events).toEqual([{ charged_accounts: null }]);
  });

  it('name what is held beside the slot, and are reported with it', async () => {
    const key = await newKey({ budgetLimitCents: 100, budgetType: 'total' });
    const slots = await create({ targetKind: 'key', targetId: key.id, amount: 1n });
    const cents = await create({
      targetKind: 'owner',
      targetId: key.ownerId,
      amount: 50_000_000n,
      unit: 'cents',
      per: 'day',
    });
    await known(key);
    const free = await verify(key);
    expect(free.reservation).toMatchObject({ cents: 0 });
    await report(free.reservation.id, { costCents: 3 });
    const spent = async () =>
      (
        await app.dataSource.query(`SELECT spent_micro_cents::int AS spent FROM budget_account WHERE limit_id = $1`, [
          cents.id,
        ])
      )[0].spent;
    expect(await spent()).toBe(3_000_000);
    await eventually(async () => expect((await verify(key, { reserveCents: 60 })).code).toBe('BUDGET_EXCEEDED'));
    expect(await inFlight(slots)).toBe(0);
    const long = await verify(key, { reserveCents: 4, reservationTtlSeconds: 600 });
    expect(long).toMatchObject({ code: 'VALID', reservation: { cents: 4 } });
    const next = await verify(key, { reserveCents: 4, reservationTtlSeconds: 600 });
    expect(next.code).toBe('CONCURRENCY_LIMITED');
    await report(long.reservation.id, { costCents: 4 });
    expect(await spent()).toBe(7_000_000);
    expect(await inFlight(slots)).toBe(0);
  });

  it('are of each key or owner with each, and of all together without', async () => {
    const ownerId = await newOwner();
    const { body: project } = await app.post('/projects', { token: admin, body: { name: 'Streams' } });
    const [one, two] = [await newKey({ ownerId, projectId: project.id }), await newKey({ ownerId })];
    await create({ targetKind: 'owner', targetId: ownerId, amount: 2n, each: 'key', name: 'each key' });
    await create({ targetKind: 'installation', amount: 3n, each: 'owner', name: 'each owner' });
    const all = await create({ targetKind: 'project', targetId: project.id, amount: 1n, name: 'project' });
    await known(one);
    await known(two);
    const codes = async (key: { secret: string }, count: number) => {
      const answers = [];
      for (let time = 0; time < count; time += 1) answers.push(await verify(key));
      return answers.map(({ code, limit }) => (code === 'VALID' ? 'VALID' : limit.id));
    };
    expect(await codes(one, 2)).toEqual(['VALID', all.id]);
    expect(await codes(two, 3)).toEqual(['VALID', 'VALID', limits.find(({ name }) => name === 'each key')!.id]);
    await eventually(async () => expect((await codes(one, 1))[0]).toBe(all.id));
  });

  it('refuse nothing where they only observe, and count all the same', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 1n, mode: 'observe' });
    await known(key);
    const codes = await Promise.all([verify(key), verify(key), verify(key, {}, other)]);
    expect(codes.map(({ code }) => code)).toEqual(['VALID', 'VALID', 'VALID']);
    expect(await inFlight(limit)).toBe(3);
  });

  it('take nothing for a call that is refused, for a dry run and for an explanation', async () => {
    const key = await newKey({ budgetLimitCents: 10, budgetType: 'total' });
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 2n });
    await known(key);
    // What was asked until now counts in no window.
    await app.patch(`/api-keys/${key.id}?wait=true`, { token: admin, body: { rateLimitPerMinute: 2 } });
    expect((await verify(key, { reserveCents: 11 })).code).toBe('BUDGET_EXCEEDED');
    expect(await inFlight(limit)).toBe(0);
    const first = await verify(key);
    expect(first.code).toBe('VALID');
    const dry = await verify(key, { dryRun: true, explain: true });
    expect(dry).toMatchObject({ code: 'VALID' });
    expect(dry.reservation).toBeUndefined();
    expect(await inFlight(limit)).toBe(1);
    const second = await verify(key);
    expect(second.code).toBe('VALID');
    expect(await verify(key, { dryRun: true })).toMatchObject({ code: 'RATE_LIMITED' });
    for (let time = 0; time < 5; time += 1) expect((await verify(key)).code).toBe('RATE_LIMITED');
    expect(await inFlight(limit)).toBe(2);
  });

  it('tell a dry run that they are full', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 1n });
    await known(key);
    await verify(key);
    expect(await verify(key, { dryRun: true, explain: true })).toMatchObject({
      code: 'CONCURRENCY_LIMITED',
      limit: { id: limit.id, unit: 'slots' },
      checks: expect.arrayContaining([expect.objectContaining({ check: 'limit', outcome: 'failed' })]),
    });
  });

  it('hold a slot for each item of a batch', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 2n });
    await known(key);
    const items = [1, 2, 3].map(() => ({ key: key.secret }));
    const { body } = await app.post('/verify/batch', { token: service.token, body: { items } });
    const codes = body.results.map(({ code }: { code: string }) => code);
    expect(codes.sort()).toEqual(['CONCURRENCY_LIMITED', 'VALID', 'VALID']);
    expect(await inFlight(limit)).toBe(2);
  });

  it('are back a moment after the hold of a caller that was lost', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 1n });
    await known(key);
    expect((await verify(key, { reservationTtlSeconds: 1 })).code).toBe('VALID');
    const [lease] = await app.dataSource.query<{ held: string }[]>(
      `SELECT extract(epoch FROM hold_until - granted_at) AS held FROM budget_lease WHERE key_id = $1`,
      [limit.id],
    );
    expect(Number(lease!.held)).toBe(8);
    await eventually(async () => expect(await inFlight(limit)).toBe(0), 60_000);
    expect((await verify(key)).code).toBe('VALID');
  });

  it('are held by a gateway for as long as it says, and it is told 429', async () => {
    const key = await newKey();
    const limit = await create({ targetKind: 'key', targetId: key.id, amount: 1n });
    await known(key);
    const ask = () =>
      app.get('/forward-auth?reservationTtlSeconds=30', {
        headers: { 'X-Latchkey-Gateway-Key': gateway, Authorization: `Bearer ${key.secret}` },
      });
    const { body: made } = await app.post('/api-keys', { token: admin, body: { roles: ['gateway'] } });
    const gateway = made.secretKey as string;
    const first = await ask();
    expect([first.status, first.headers.get('X-Latchkey-Reservation-Id')]).toEqual([200, expect.stringMatching(/./)]);
    expect(await inFlight(limit)).toBe(1);
    const refused = await ask();
    expect([refused.status, refused.headers.get('X-Latchkey-Code'), refused.headers.get('Retry-After')]).toEqual([
      429,
      'CONCURRENCY_LIMITED',
      '1',
    ]);
  });

  describe('a reservation that is renewed', () => {
    it('is held for longer, and settles as before', async () => {
      const key = await newKey();
      const limit = await create({ targetKind: 'key', targetId: key.id, amount: 1n });
      await known(key);
      const { reservation } = await verify(key, { reservationTtlSeconds: 1 });
      const renewed = await renew(reservation.id, 600, other);
      expect([renewed.status, renewed.body.renewed]).toEqual([200, true]);
      expect(Date.parse(renewed.body.expiresAt)).toBeGreaterThan(Date.parse(reservation.expiresAt) + 500_000);
      // Never shorter than before.
      const again = await renew(reservation.id, 1);
      expect(again.body.expiresAt).toBe(renewed.body.expiresAt);
      expect(await inFlight(limit)).toBe(1);
      expect(await report(reservation.id, { costCents: 1 })).toMatchObject({
        accepted: 1,
        results: [{ outcome: 'accepted' }],
      });
      expect(await inFlight(limit)).toBe(0);
      expect((await renew(reservation.id)).body).toMatchObject({ status: 409, code: 'RESERVATION_ENDED' });
    });

    it('is of money too, where it was made for more than 60 seconds', async () => {
      const key = await newKey({ budgetLimitCents: 100, budgetType: 'total' });
      const long = await verify(key, { reserveCents: 5, reservationTtlSeconds: 61 });
      const { body } = await renew(long.reservation.id, 1800);
      expect(Date.parse(body.expiresAt)).toBeGreaterThan(Date.parse(long.reservation.expiresAt) + 1_600_000);
      expect((await release(long.reservation.id)).status).toBe(200);
      expect((await renew(long.reservation.id)).body).toMatchObject({ code: 'RESERVATION_ENDED' });
      const short = await verify(key, { reserveCents: 5 });
      expect((await renew(short.reservation.id)).body).toMatchObject({
        status: 409,
        code: 'RESERVATION_NOT_RENEWABLE',
      });
    });

    it('keeps its slot, and its own leases beside it, whatever else it shares', async () => {
      const key = await newKey({ budgetLimitCents: 100, budgetType: 'total' });
      const limit = await create({ targetKind: 'key', targetId: key.id, amount: 3n });
      await create({ targetKind: 'key', targetId: key.id, amount: 900n, unit: 'tokens', per: 'day', name: 'tokens' });
      await known(key);
      const leases = (): Promise<{ unit: string; kind: string; left: number }[]> =>
        app.dataSource.query(
          `SELECT coalesce(q.unit, 'cents') AS unit, l.kind, round(extract(epoch FROM l.hold_until - now()))::int AS left
             FROM budget_lease l JOIN budget_account a ON a.key_id = l.key_id AND a.period = l.period
             LEFT JOIN quota_limit q ON q.id = a.limit_id
            WHERE l.granted_micro_cents > l.settled_micro_cents AND l.hold_until > now() + interval '500 seconds'
              AND (a.key_id = $1 OR q.target_id = $1) ORDER BY unit`,
          [key.id],
        );
      // Money for 60 seconds is shared: it ends by itself, the slot is held.
      const short = await verify(key, { reserveCents: 5 });
      expect((await renew(short.reservation.id, 600)).status).toBe(200);
      expect((await leases()).map(({ unit }) => unit)).toEqual(['slots']);
      await loseShared(app, key.id);
      expect((await renew(short.reservation.id, 600)).status).toBe(200);
      await release(short.reservation.id);
      expect(await inFlight(limit)).toBe(0);
      // A replica with default holds: tokens and the hold are the call's own.
      const long = await verify(key, { reserveTokens: 50, reservationTtlSeconds: 120 }, other);
      expect((await renew(long.reservation.id, 600)).status).toBe(200);
      const own = (await leases()).map(({ unit, kind }) => `${unit} ${kind}`);
      expect(own).toEqual(['cents own', 'slots own', 'tokens own']);
      expect((await release(long.reservation.id)).status).toBe(200);
    });

    it('is not held beyond 24 hours from its verify', async () => {
      const key = await newKey();
      await create({ targetKind: 'key', targetId: key.id, amount: 1n });
      await known(key);
      const { reservation } = await verify(key, { reservationTtlSeconds: 60 });
      await app.dataSource.query(`UPDATE budget_lease SET granted_at = granted_at - interval '23 hours 50 minutes'`);
      const { body } = await renew(reservation.id, 1800);
      const leftMs = Date.parse(body.expiresAt) - Date.now();
      expect(leftMs).toBeGreaterThan(300_000);
      expect(leftMs).toBeLessThan(600_000);
    });

    it('is refused where it is no reservation of the caller', async () => {
      const key = await newKey();
      const { reservation } = await verify(key, { reserveCents: 5 });
      const stranger = await app.addUser(['gateway']);
      const body = { reservationId: reservation.id, ttlSeconds: 60 };
      expect((await app.post('/reservations/renew', { token: stranger.token, body })).status).toBe(400);
      expect((await renew('AQABogBWoV14ZrsbFG0zP5e9AaIAVqM')).status).toBe(400);
      expect((await renew(reservation.id, 1801)).status).toBe(400);
      expect((await renew(reservation.id, 0)).status).toBe(400);
      // A key that no limit binds: its callers need not know that.
      expect((await renew(reservation.id, 60)).status).toBe(200);
    });
  });
});
