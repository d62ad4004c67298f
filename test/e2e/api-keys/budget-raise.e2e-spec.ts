import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { inDays, makeKey, pathsOf, trailOf } from '../../support/made-keys.js';

const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();

describe('A raise of a budget', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let service: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    owner = await app.addUser(['creator']);
    service = await app.addUser(['gateway']);
  });
  afterAll(() => app.stop());

  const patch = (id: string, token: string, body: object) => app.request('PATCH', `/api-keys/${id}`, { token, body });
  const raise = (id: string, cents: number, until: string, reason = 'Load test') =>
    patch(id, admin, { budgetRaise: { cents, until, reason } });
  const read = async (id: string) => (await app.get(`/api-keys/${id}`, { token: admin })).body;
  const reserve = async (secret: string, cents: number) => {
    await app.applied();
    const body = { key: secret, reserveCents: cents };
    return (await app.post('/verify', { token: service.token, body })).body;
  };
  const book = (key: { id: string }, id: string, costCents: number) =>
    app.post('/usage', { token: service.token, body: { events: [{ id, apiKeyId: key.id, costCents }] } });
  const budgetOf = async (id: string) => (await app.get(`/api-keys/${id}/usage`, { token: admin })).body.budget;
  const untilOver = async (until: string) => {
    while (Date.now() <= Date.parse(until) + 5) await sleep(50);
  };

  it.each(['total', 'monthly'])('gives a %s budget more until it ends, and not a moment longer', async (budgetType) => {
    const key = await makeKey(app, admin, { budgetLimitCents: 10, budgetType });
    await book(key, `spent-${budgetType}`, 10);
    expect((await reserve(key.secret, 1)).code).toBe('BUDGET_EXCEEDED');
    // Long enough for what is asked of the raise while it runs, on a slow machine too.
    const until = inMs(8_000);
    const raised = await raise(key.id, 20, until);
    expect(raised.status).toBe(200);
    expect(raised.body.budgetRaise).toEqual({ cents: 20, until, reason: 'Load test' });
    const verdict = await reserve(key.secret, 15);
    expect(verdict).toMatchObject({ code: 'VALID', budget: { limitCents: 30, raisedByCents: 20, spentCents: 10 } });
    expect(await budgetOf(key.id)).toMatchObject({
      limitCents: 30,
      raisedByCents: 20,
      raisedUntil: until,
      heldCents: 15,
    });
    const { body: told } = await app.post(`/api-keys/${key.id}/explain`, { token: admin, body: {} });
    expect(told.budget).toMatchObject({ limitCents: 30, raisedByCents: 20 });
    expect(JSON.stringify(told.checks)).toContain(`raised by 20 cents until ${until}`);
    expect(await reconcileBudgets(app.dataSource)).toEqual([]);
    expect(Date.now()).toBeLessThan(Date.parse(until));

    await untilOver(until);
    expect((await reserve(key.secret, 1)).code).toBe('BUDGET_EXCEEDED');
    expect((await read(key.id)).budgetRaise).toBeNull();
    expect(await budgetOf(key.id)).toMatchObject({ limitCents: 10, raisedByCents: 0, raisedUntil: null });
    // What was reserved while it ran may still be settled, and counts.
    const settled = await app.post('/usage', {
      token: service.token,
      body: { events: [{ id: 'later', reservationId: verdict.reservation.id, costCents: 15 }] },
    });
    expect(settled.body.results[0]).toEqual({ id: 'later', outcome: 'accepted' });
    expect(await budgetOf(key.id)).toMatchObject({ limitCents: 10, spentCents: 25, heldCents: 0, remainingCents: 0 });
    expect(await reconcileBudgets(app.dataSource)).toEqual([]);
  });

  it('is taken back early, stays where a change does not name it, and is replaced by the next one', async () => {
    const key = await makeKey(app, admin, { budgetLimitCents: 10 });
    await raise(key.id, 5, inDays(1));
    expect((await patch(key.id, admin, { name: 'Renamed' })).body.budgetRaise).toMatchObject({ cents: 5 });
    expect((await raise(key.id, 7, inDays(2), 'More of it')).body.budgetRaise).toMatchObject({
      cents: 7,
      reason: 'More of it',
    });
    expect((await reserve(key.secret, 17)).code).toBe('VALID');
    expect((await patch(key.id, admin, { budgetRaise: null })).body.budgetRaise).toBeNull();
    expect((await reserve(key.secret, 0.000001)).code).toBe('BUDGET_EXCEEDED');
    const changes = (await trailOf(app, key.id))
      .flatMap((entry) => entry.changes)
      .filter(({ field }) => field === 'budgetRaise');
    expect(changes.map(({ before, after }) => [before, after])).toEqual([
      [null, expect.objectContaining({ cents: 5 })],
      [expect.objectContaining({ cents: 5 }), expect.objectContaining({ cents: 7, reason: 'More of it' })],
      [expect.objectContaining({ cents: 7 }), null],
    ]);
  });

  it('stays beside a new limit and a new type, and ends with the budget', async () => {
    const key = await makeKey(app, admin, { budgetLimitCents: 100 });
    await raise(key.id, 20, inDays(1));
    await patch(key.id, admin, { budgetLimitCents: 10 });
    expect((await reserve(key.secret, 31)).code).toBe('BUDGET_EXCEEDED');
    expect((await reserve(key.secret, 30)).code).toBe('VALID');
    await patch(key.id, admin, { budgetType: 'monthly' });
    expect((await reserve(key.secret, 30)).code).toBe('VALID');
    expect(await reconcileBudgets(app.dataSource)).toEqual([]);
    expect((await patch(key.id, admin, { isUnlimited: true })).body.budgetRaise).toBeNull();
    expect((await patch(key.id, admin, { budgetLimitCents: 10 })).body.budgetRaise).toBeNull();
    expect(await reconcileBudgets(app.dataSource)).toEqual([]);
  });

  it('outlives a transfer and a new secret', async () => {
    const key = await makeKey(app, admin, { budgetLimitCents: 10 });
    await raise(key.id, 20, inDays(1));
    await app.post(`/api-keys/${key.id}/transfer`, { token: admin, body: { ownerId: owner.id } });
    const made = await app.post(`/api-keys/${key.id}/regenerate`, { token: admin, body: {} });
    expect(made.body.apiKey.budgetRaise).toMatchObject({ cents: 20 });
    expect((await reserve(made.body.secretKey, 30)).code).toBe('VALID');
  });

  it('is in lists, the export, and in what share of a budget is used', async () => {
    const key = await makeKey(app, admin, { budgetLimitCents: 10, tags: ['raised'] });
    await book(key, 'used', 9);
    const used = async () =>
      (await app.get('/api-keys?tag=raised&budgetUsedAbove=80', { token: admin })).body.data.map(
        ({ id }: { id: string }) => id,
      );
    expect(await used()).toEqual([key.id]);
    await raise(key.id, 10, inDays(1));
    expect(await used()).toEqual([]);
    const list = await app.get('/api-keys?tag=raised', { token: admin });
    expect(list.body.data[0]).toMatchObject({ budgetSpentCents: 9, budgetLimitCents: 10, budgetRaise: { cents: 10 } });
    const csv = await app.get('/api-keys/export?tag=raised', { token: admin });
    const [header, line] = String(csv.body).trim().split('\r\n');
    expect(header!.split(',')).toContain('"budgetRaise"');
    expect(line).toContain('""cents"":10');
  });

  it('sent back as it was read, changes nothing, also once it is over', async () => {
    const key = await makeKey(app, owner.token, { budgetLimitCents: 10 });
    const until = inMs(2_000);
    await raise(key.id, 20, until);
    const put = (token: string, body: object) => app.request('PUT', `/api-keys/${key.id}`, { token, body });
    const readWhileItRan = await read(key.id);
    expect((await put(owner.token, readWhileItRan)).status).toBe(200);
    await untilOver(until);
    const headers = { 'if-match': `"${readWhileItRan.version}"` };
    const late = await app.request('PUT', `/api-keys/${key.id}`, { token: owner.token, body: readWhileItRan, headers });
    expect([late.status, late.body.budgetRaise]).toEqual([200, null]);
    expect((await put(owner.token, await read(key.id))).status).toBe(200);
    expect(await trailOf(app, key.id)).toHaveLength(2);
  });

  it('an owner may lower and take back, and nothing more', async () => {
    const key = await makeKey(app, owner.token, { budgetLimitCents: 10 });
    const until = inDays(2);
    const change = (cents: number, end: string) =>
      patch(key.id, owner.token, { budgetRaise: { cents, until: end, reason: 'Mine' } });
    const refused = await change(1, until);
    expect([refused.status, refused.body.code]).toEqual([403, 'OWNER_MAY_ONLY_TIGHTEN']);
    await raise(key.id, 20, until);
    expect((await change(20, inDays(3))).status).toBe(403);
    expect((await change(20.5, until)).status).toBe(403);
    expect((await change(10, inDays(1))).status).toBe(200);
    expect((await patch(key.id, owner.token, { budgetRaise: null })).status).toBe(200);
  });

  describe('400', () => {
    it.each<[string, object, string[]]>([
      ['an end that has passed', { cents: 1, until: '2020-01-01T00:00:00Z', reason: 'x' }, ['budgetRaise.until']],
      ['an end more than 366 days ahead', { cents: 1, until: inDays(367), reason: 'x' }, ['budgetRaise.until']],
      ['an end without an offset', { cents: 1, until: '2030-01-01T00:00:00', reason: 'x' }, ['budgetRaise.until']],
      ['nothing more', { cents: 0, until: inDays(1), reason: 'x' }, ['budgetRaise.cents']],
      ['less', { cents: -1, until: inDays(1), reason: 'x' }, ['budgetRaise.cents']],
      ['a seventh decimal', { cents: 0.0000015, until: inDays(1), reason: 'x' }, ['budgetRaise.cents']],
      ['what is no member', { cents: 1, until: inDays(1), reason: 'x', more: 1 }, ['budgetRaise.more']],
      ['nothing at all', {}, ['budgetRaise.cents', 'budgetRaise.reason', 'budgetRaise.until']],
      ['a reason of 501 characters', { cents: 1, until: inDays(1), reason: 'x'.repeat(501) }, ['budgetRaise.reason']],
    ])('refuses %s', async (_, budgetRaise, paths) => {
      const key = await makeKey(app, admin, { budgetLimitCents: 10 });
      const answer = await patch(key.id, admin, { budgetRaise });
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(paths);
    });

    it('refuses a raise of an unlimited key', async () => {
      const key = await makeKey(app, admin);
      const answer = await raise(key.id, 1, inDays(1));
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['budgetRaise']);
    });

    it('refuses one for a key that is only being made', async () => {
      const body = { budgetLimitCents: 1, budgetRaise: { cents: 1, until: inDays(1), reason: 'x' } };
      const answer = await app.post('/api-keys', { token: admin, body });
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['budgetRaise']);
    });
  });
});
