import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { issueServiceKey } from '../../support/management.js';
import { type TestKey, makeKey } from '../../support/made-keys.js';
import { makeLimit } from '../../support/made-limits.js';
import { trailOf } from '../../support/trail.js';

describe('Limits of tokens by minute', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;
  let service: TestUser;
  let gateway: string;
  let names = 0;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' }, app.database);
    admin = await app.adminToken();
    service = await app.addUser(['gateway']);
    gateway = (await issueServiceKey(app, admin)).secret;
  });
  afterAll(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
    await other.stop();
    await app.stop();
  });

  const project = async () =>
    (await app.post('/projects', { token: admin, body: { name: `Tokens ${++names}` } })).body.id as string;
  const keyIn = (projectId: string, more: object = {}) => makeKey(app, admin, { projectId, ...more });
  const onProject = (projectId: string, more: object = {}) => ({
    ...{ name: `Pace ${++names}`, unit: 'tokens', amount: 1000, per: 'minute' },
    ...{ target: { kind: 'project', id: projectId }, ...more },
  });
  const limited = (projectId: string, more: object = {}) =>
    makeLimit(app, admin, { ...onProject(projectId, more), amountCents: undefined });
  const create = (body: object, query = '') => app.post(`/limits${query}`, { token: admin, body });
  const changed = async (id: string, body: object) =>
    expect((await app.patch(`/limits/${id}?wait=true`, { token: admin, body })).status).toBe(200);
  const verify = async (key: TestKey, body: object = {}, on = app) =>
    (await on.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  /** What a replica has in hand for its next calls is back within a second or two. */
  const hold = async (key: TestKey, reserveTokens: number, on = app): Promise<string> => {
    let id = '';
    await eventually(async () => {
      const verdict = await verify(key, { reserveTokens }, on);
      expect(verdict.code).toBe('VALID');
      id = verdict.reservation.id;
    });
    return id;
  };
  const account = (id: string, expected: object) =>
    eventually(async () =>
      expect((await app.get(`/limits/${id}`, { token: admin })).body.fullest).toMatchObject(expected),
    );
  const errorsOf = (answer: { body: { errors?: { path: string; message: string }[] } }) =>
    (answer.body.errors ?? []).map(({ path, message }) => `${path}: ${message}`);

  it('hold what all keys of a project reserve, on every replica, and say when the next may come', async () => {
    const projectId = await project();
    const limit = await limited(projectId);
    expect(limit.sentence).toMatch(/ together may use at most 1,000 tokens per minute\.$/);
    const keys = [await keyIn(projectId), await keyIn(projectId)] as const;
    await hold(keys[0], 600);
    await hold(keys[1], 400, other);
    for (const on of [app, other]) {
      const refused = await verify(keys[0], { reserveTokens: 1 }, on);
      expect(refused).toMatchObject({
        code: 'RATE_LIMITED',
        detail: 'A limit of tokens of the project of the key does not cover this call.',
        limit: { id: limit.id, unit: 'tokens', per: 'minute', state: 'exhausted', resetsAt: expect.any(String) },
      });
      expect(refused.retryAfterSeconds).toBeGreaterThan(45);
      expect(refused.retryAfterSeconds).toBeLessThanOrEqual(63);
    }
    await account(limit.id, {
      ...{ state: 'exhausted', amount: 1000, used: 1000, held: 0, remaining: 0, usedPercent: 100 },
      ...{ member: null, startsAt: null, resetsAt: expect.any(String), amountCents: null },
    });
  });

  it('say that a call is larger than the limit, and not when to come again', async () => {
    const projectId = await project();
    await limited(projectId);
    const key = await keyIn(projectId);
    for (const body of [{ reserveTokens: 1001 }, { reserveTokens: 1001, dryRun: true }]) {
      const refused = await verify(key, body);
      expect(refused).toMatchObject({ code: 'RATE_LIMITED', detail: expect.stringMatching(/it never fits\.$/) });
      expect(refused.retryAfterSeconds).toBeUndefined();
    }
    await hold(key, 1000);
  });

  it('are explained to those who may know them, and told to a gateway by code and Retry-After alone', async () => {
    const projectId = await project();
    const limit = await limited(projectId);
    const key = await keyIn(projectId);
    await hold(key, 900);
    const explain = async (body: object, token = admin) =>
      (await app.post(`/api-keys/${key.id}/explain`, { token, body })).body;
    const explained = await explain({ reserveTokens: 101 });
    expect(explained).toMatchObject({ valid: false, code: 'RATE_LIMITED' });
    expect(explained.checks.at(-1)).toMatchObject({
      ...{ check: 'limit', outcome: 'failed' },
      detail: expect.stringMatching(new RegExp(`${limit.id} .* does not cover the call\\. All of it is free at `)),
    });
    // What the replica holds ahead is given back within a second.
    await eventually(async () =>
      expect((await explain({ reserveTokens: 101 })).tightest).toMatchObject({
        ...{ id: limit.id, unit: 'tokens', per: 'minute', amount: 1000, used: 900 },
      }),
    );
    await eventually(async () => expect((await explain({ reserveTokens: 100 })).valid).toBe(true));
    const headers = { 'x-latchkey-gateway-key': gateway, 'x-api-key': key.secret };
    const refused = await app.get('/forward-auth?reserveTokens=101', { headers });
    expect([refused.status, refused.body.code]).toEqual([429, 'RATE_LIMITED']);
    expect(refused.body.detail).toBe('A limit does not cover this call.');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('show their numbers to those who may know them, and whether they are exhausted to all others', async () => {
    const projectId = await project();
    await app.addRole('token-reader', ['platform:api-keys:verify', 'platform:api-keys:read', 'platform:limits:read']);
    await app.addRole('token-verifier', ['platform:api-keys:verify', 'platform:api-keys:read']);
    const [owner, member] = [await app.addUser(['token-verifier']), await app.addUser(['token-verifier'])];
    await app.put(`/projects/${projectId}/members/${member.id}`, { token: admin, body: { role: 'member' } });
    const key = await keyIn(projectId, { ownerId: owner.id });
    const target = { kind: 'installation' };
    const limits = {
      project: (await limited(projectId)).id,
      'project, each owner': (await limited(projectId, { each: 'owner' })).id,
      'all, each owner': (await limited(projectId, { target, each: 'owner', amount: 1_000_000 })).id,
      all: (await limited(projectId, { target, amount: 1_000_000 })).id,
    };
    await hold(key, 10);
    const seenBy = async (token: string) => {
      const { body } = await app.get(`/api-keys/${key.id}/limits`, { token });
      const verdict = (await app.post('/verify', { token, body: { key: key.secret, include: ['limits'] } })).body;
      return Object.entries(limits).map(([name, id]) => {
        const bound = body.data.find((one: { id: string }) => one.id === id);
        const told = verdict.limits.find((one: { id: string }) => one.id === id);
        expect(told).toMatchObject({ unit: 'tokens', per: 'minute', state: 'ok' });
        const used = [bound.details?.account.used, told.used];
        for (const tokens of used) if (tokens !== undefined) expect(tokens).toBeGreaterThanOrEqual(10);
        return `${name}: ${used.map((tokens) => (tokens === undefined ? 'no' : 'yes')).join(' ')}`;
      });
    };
    const reader = await app.addUser(['token-reader']);
    expect(await seenBy(reader.token)).toEqual(Object.keys(limits).map((name) => `${name}: yes yes`));
    expect(await seenBy(owner.token)).toEqual([
      ...['project: no no', 'project, each owner: yes yes', 'all, each owner: yes yes', 'all: no no'],
    ]);
    expect(await seenBy(member.token)).toEqual([
      ...['project: yes no', 'project, each owner: yes no', 'all, each owner: no no', 'all: no no'],
    ]);
    expect(await seenBy((await app.addUser(['token-verifier'])).token)).toEqual(
      Object.keys(limits).map((name) => `${name}: no no`),
    );
    for (const id of Object.values(limits)) await app.delete(`/limits/${id}?wait=true`, { token: admin });
  });

  it('give members amounts of their own until an instant, list them, and observe', async () => {
    const projectId = await project();
    const { id } = await limited(projectId, { each: 'key', amount: 100 });
    const [one, two] = [await keyIn(projectId), await keyIn(projectId)];
    await hold(one, 100);
    const body = { amount: 300, until: new Date(Date.now() + 3_600_000).toISOString(), reason: 'Load test' };
    const put = await app.put(`/limits/${id}/accounts/${one.id}?wait=true`, { token: admin, body });
    expect(put.body).toMatchObject({ amount: 300, used: 100, remaining: 200, override: { amount: 300 } });
    await hold(one, 200);
    expect((await verify(one, { reserveTokens: 1 })).code).toBe('RATE_LIMITED');
    await hold(two, 60);
    const listed = async (query = '') =>
      (await app.get(`/limits/${id}/accounts${query}`, { token: admin })).body.data.map(
        ({ member, used: tokens }: { member: { id: string }; used: number }) => [member.id, tokens],
      );
    await eventually(async () =>
      expect(await listed()).toEqual([
        [one.id, 300],
        [two.id, 60],
      ]),
    );
    expect(await listed('?usedAbove=90')).toEqual([[one.id, 300]]);
    const csv = await app.get(`/limits/export?target=project:${projectId}&unit=tokens`, { token: admin });
    expect(csv.body).toContain('"tokens",100,"minute"');
    const wrong = await app.put(`/limits/${id}/accounts/${two.id}`, { token: admin, body: { amount: 1_000_000_001 } });
    expect(errorsOf(wrong)).toEqual(['amount: must be from 0 to 1000000000']);
    await changed(id, { mode: 'observe' });
    await hold(two, 500);
    await eventually(async () => {
      const observed = (await app.get(`/limits/${id}/accounts/${two.id}`, { token: admin })).body;
      expect(observed).toMatchObject({ state: 'ok', amount: 100 });
      expect(observed.used).toBeGreaterThanOrEqual(560);
    });
  });

  it('show who used more than a window adds up, by reports of very many tokens', async () => {
    const projectId = await project();
    const { id } = await limited(projectId, { each: 'key' });
    const [most, less] = [await keyIn(projectId), await keyIn(projectId)];
    await hold(less, 900);
    const event = { id: `e${++names}`, apiKeyId: most.id, inputTokens: 1_000_000_000, outputTokens: 1_000_000_000 };
    expect((await app.post('/usage', { token: service.token, body: { events: [event] } })).body.accepted).toBe(1);
    // And as many two seconds before.
    await app.dataSource.query(
      `UPDATE rate_window SET minute_cells = (minute_cells[1] - (1::bigint << 32)) || minute_cells WHERE limit_id = $1 AND member_id = $2`,
      [id, most.id],
    );
    const listed = async (query: string) =>
      (await app.get(`/limits/${id}/accounts${query}`, { token: admin })).body.data.map(
        ({ member, used }: { member: { id: string }; used: number }) => [member.id, used],
      );
    await account(id, { member: { id: most.id }, used: 4_000_000_000 });
    await eventually(async () =>
      expect(await listed('')).toEqual([
        [most.id, 4_000_000_000],
        [less.id, 900],
      ]),
    );
    expect(await listed('?usedAbove=95')).toEqual([[most.id, 4_000_000_000]]);
  });

  it('follow a change and a deletion at once, are told in the trail, and an admin of the project may only tighten', async () => {
    const projectId = await project();
    const { id } = await limited(projectId, { models: ['gpt-4*'] });
    const key = await keyIn(projectId);
    const lead = await app.addUser(['user']);
    await app.put(`/projects/${projectId}/members/${lead.id}`, { token: admin, body: { role: 'admin' } });
    await changed(id, { amount: 2000 });
    expect((await trailOf(app, id)).at(-1)).toMatchObject({
      ...{ action: 'limits:update', changes: [{ field: 'amount', before: 1000, after: 2000 }] },
    });
    expect((await app.patch(`/limits/${id}`, { token: lead.token, body: { amount: 3000 } })).body.code).toBe(
      'ADMIN_MAY_ONLY_TIGHTEN',
    );
    expect((await app.patch(`/limits/${id}?wait=true`, { token: lead.token, body: { amount: 500 } })).status).toBe(200);
    await hold(key, 500);
    expect((await verify(key, { reserveTokens: 1, model: 'small' })).code).toBe('VALID');
    expect((await verify(key, { reserveTokens: 1, model: 'gpt-4o' })).code).toBe('RATE_LIMITED');
    const deleted = await app.delete(`/limits/${id}?wait=true`, { token: admin });
    expect(deleted.status).toBe(204);
    expect((await verify(key, { reserveTokens: 1 })).code).toBe('VALID');
  });

  it('are two of a target at most, beside three that calls hold, and every mistake is named', async () => {
    const projectId = await project();
    const windows = [await limited(projectId), await limited(projectId, { each: 'key' })];
    const third = await create(onProject(projectId, { models: ['gpt-4*'] }));
    expect(third.body).toMatchObject({ status: 409, code: 'TOO_MANY_LIMITS', most: 2 });
    expect(third.body.detail).toContain('2 limits of tokens by minute');
    expect([...third.body.limits].sort()).toEqual(windows.map(({ id }) => id).sort());
    for (const per of ['day', 'week']) expect((await create(onProject(projectId, { per }))).status).toBe(201);
    const wrong = async (more: object) => errorsOf(await create(onProject(await project(), more)));
    expect(await wrong({ per: 'hour' })).toEqual([
      'per: must be minute, day, week, month or total: tokens are not counted by hour',
    ]);
    expect(await wrong({ unit: 'cents', amount: undefined, amountCents: 5 })).toEqual([
      'per: must be day, week, month or total: cents are not counted by minute',
    ]);
    expect(await wrong({ timeZone: 'Europe/Berlin' })).toEqual([
      'timeZone: must be left out: the last minute has no calendar',
    ]);
    expect(await wrong({ amount: 1_000_000_001 })).toEqual(['amount: must be from 0 to 1000000000']);
    expect(await wrong({ each: 'subject', per: 'total' })).toEqual([
      'per: must be minute, day, week or month: there may be any number of subjects, so that their accounts have an end',
    ]);
    const key = await keyIn(await project());
    expect((await create(onProject('', { target: { kind: 'key', id: key.id } }))).status).toBe(201);
  });

  it('take the place of a limit by day, are tried by a dry run, and wait for older replicas', async () => {
    const projectId = await project();
    const { ownerId } = (await keyIn(projectId)).view as { ownerId: string };
    const put = (per: string) => {
      const body = { ...onProject(projectId, { per, each: 'owner' }), name: 'Restarted' };
      return app.put('/limits/by-alias/restarted-tokens?restart=true', { token: admin, body });
    };
    const { id } = (await put('day')).body;
    const give = (amount: number) => app.put(`/limits/${id}/accounts/${ownerId}`, { token: admin, body: { amount } });
    await give(1_000_000_001);
    expect(errorsOf(await put('minute'))).toEqual([
      'per: a member has more than 10^9, the most by minute: give it less first',
    ]);
    await give(1_000_000_000);
    expect((await put('minute')).body).toMatchObject({ per: 'minute', replaced: { id, unit: 'tokens' } });
    const onOther = onProject(await project());
    expect((await create(onOther, '?dryRun=true')).body).toMatchObject({
      ...{ keyCount: 0, accountCount: 1, exhaustedCount: 0, usedSoFar: null, costUnknown: 'not-reported' },
    });
    const older = '00000000-0000-7000-8000-00000000a1e0';
    await app.dataSource.query('INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 6)', [older]);
    expect((await create(onOther)).body).toMatchObject({ status: 409, code: 'LIMITS_NOT_ENFORCED' });
    expect((await create({ ...onOther, unit: 'requests' })).status).toBe(201);
    await app.dataSource.query('DELETE FROM replica WHERE id = $1', [older]);
  });
});
