import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { reconcileBudgets } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { issueServiceKey } from '../../support/management.js';
import { makeLimit } from '../../support/made-limits.js';

interface Key {
  readonly id: string;
  readonly ownerId: string;
  readonly secret: string;
}

describe('Limits of requests by minute and hour', () => {
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
    expect(await reconcileBudgets(app.dataSource)).toEqual([]);
    await other.stop();
    await app.stop();
  });

  const project = async () =>
    (await app.post('/projects', { token: admin, body: { name: `Windows ${++names}` } })).body.id as string;
  const makeKey = async (projectId: string, ownerId?: string): Promise<Key> => {
    const { body } = await app.post('/api-keys', {
      token: admin,
      body: { projectId, ...(ownerId ? { ownerId } : {}) },
    });
    return { id: body.apiKey.id, ownerId: body.apiKey.ownerId, secret: body.secretKey };
  };
  const limited = async (projectId: string, fields: object) =>
    makeLimit(app, admin, {
      ...{ unit: 'requests', amountCents: undefined, per: 'minute', target: { kind: 'project', id: projectId } },
      ...fields,
    });
  const changed = async (id: string, body: object) =>
    expect((await app.patch(`/limits/${id}?wait=true`, { token: admin, body })).status).toBe(200);
  const verify = async (key: Key, body: object = {}, on = app) =>
    (await on.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  const accounts = async (id: string, query = '') =>
    (await app.get(`/limits/${id}/accounts${query}`, { token: admin })).body.data;
  const fullest = async (id: string) => (await app.get(`/limits/${id}`, { token: admin })).body.fullest;

  it('count the calls of all keys of a project together, on every replica, and say when the next may come', async () => {
    const projectId = await project();
    const limit = await limited(projectId, { amount: 5 });
    expect(limit).toMatchObject({
      sentence: expect.stringMatching(/ together may make at most 5 calls per minute\.$/),
      ...{ per: 'minute', timeZone: 'UTC' },
    });
    const keys = [await makeKey(projectId), await makeKey(projectId)] as const;
    const verdicts = [];
    for (let calls = 0; calls < 8; calls++) verdicts.push(await verify(keys[calls % 2]!, {}, calls % 3 ? app : other));
    expect(verdicts.filter(({ valid }) => valid)).toHaveLength(5);
    const refused = await verify(keys[0]);
    expect(refused).toMatchObject({
      code: 'RATE_LIMITED',
      detail: 'A limit of requests of the project of the key does not cover this call.',
      limit: { id: limit.id, unit: 'requests', per: 'minute', state: 'exhausted', resetsAt: expect.any(String) },
    });
    expect(refused.retryAfterSeconds).toBeGreaterThan(50);
    expect(refused.retryAfterSeconds).toBeLessThanOrEqual(63);
    expect(await fullest(limit.id)).toMatchObject({
      ...{ state: 'exhausted', amount: 5, used: 5, held: 0, remaining: 0, usedPercent: 100 },
      ...{ member: null, startsAt: null, resetsAt: expect.any(String) },
    });
  });

  it('give each owner a window of its own, list it, and know an amount of its own until it ends', async () => {
    const projectId = await project();
    const limit = await limited(projectId, { amount: 2, each: 'owner', per: 'hour' });
    const owners = [(await app.addUser(['creator'])).id, (await app.addUser(['creator'])).id] as const;
    const keys = [await makeKey(projectId, owners[0]), await makeKey(projectId, owners[1])] as const;
    for (const key of keys) expect((await verify(key)).code).toBe('VALID');
    expect((await verify(keys[0], { cost: 2 })).code).toBe('RATE_LIMITED');
    expect((await verify(keys[1])).code).toBe('VALID');
    const listed = await accounts(limit.id);
    expect(listed.map(({ member, used }: { member: { id: string }; used: number }) => [member.id, used])).toEqual([
      [owners[1], 2],
      [owners[0], 1],
    ]);
    expect(await accounts(limit.id, '?usedAbove=60')).toHaveLength(1);
    const path = `/limits/${limit.id}/accounts/${owners[0]}`;
    const body = { amount: 10, until: new Date(Date.now() + 4_000).toISOString() };
    expect((await app.put(`${path}?wait=true`, { token: admin, body })).body).toMatchObject({ amount: 10, used: 1 });
    expect((await verify(keys[0], { cost: 8 })).code).toBe('VALID');
    await new Promise((resolve) => setTimeout(resolve, Date.parse(body.until) - Date.now() + 50));
    expect((await verify(keys[0])).code).toBe('RATE_LIMITED');
    expect(await accounts(limit.id, `?member=${owners[0]}`)).toMatchObject([{ amount: 2, used: 9, remaining: 0 }]);
    const wrong = await app.put(path, { token: admin, body: { amount: 1_000_000_001 } });
    expect(wrong.body.errors).toMatchObject([{ path: 'amount' }]);
  });

  it('count no call that something else refuses, or that is tried', async () => {
    const projectId = await project();
    const limit = await limited(projectId, { amount: 50 });
    const narrow = await limited(projectId, { amount: 1, per: 'day' });
    const key = await makeKey(projectId);
    expect((await verify(key, { dryRun: true })).code).toBe('VALID');
    expect((await verify(key)).code).toBe('VALID');
    for (let calls = 0; calls < 3; calls++)
      expect(await verify(key)).toMatchObject({ code: 'RATE_LIMITED', limit: { id: narrow.id } });
    await app.delete(`/limits/${narrow.id}?wait=true`, { token: admin });
    expect((await verify(key, { cost: 49 })).code).toBe('VALID');
    expect(await verify(key)).toMatchObject({ code: 'RATE_LIMITED', limit: { id: limit.id } });
  });

  it('follow a change of the amount, of the mode and of the models at once, and end with their deletion', async () => {
    const projectId = await project();
    const limit = await limited(projectId, { amount: 1 });
    const key = await makeKey(projectId);
    expect([(await verify(key)).code, (await verify(key)).code]).toEqual(['VALID', 'RATE_LIMITED']);
    await changed(limit.id, { amount: 3 });
    expect((await verify(key)).code).toBe('VALID');
    await changed(limit.id, { amount: 1 });
    expect(await verify(key, { cost: 2 })).toMatchObject({ detail: expect.stringMatching(/it never fits\.$/) });
    expect((await verify(key, { cost: 2 })).retryAfterSeconds).toBeUndefined();
    await changed(limit.id, { mode: 'observe' });
    expect((await verify(key)).code).toBe('VALID');
    // Nothing bounds what is only observed: the replica may have taken more permits than the three calls.
    expect((await fullest(limit.id)).used).toBeGreaterThanOrEqual(3);
    await changed(limit.id, { mode: 'enforce', models: ['gpt-4*'] });
    expect((await verify(key, { model: 'small' })).code).toBe('VALID');
    expect((await verify(key, { model: 'gpt-4o' })).code).toBe('RATE_LIMITED');
    // Leaving the name out is no way around.
    expect((await verify(key)).code).toBe('RATE_LIMITED');
    await app.delete(`/limits/${limit.id}?wait=true`, { token: admin });
    expect((await verify(key)).code).toBe('VALID');
  });

  it('bind a key where it is, and not where it was', async () => {
    const [from, to] = [await project(), await project()];
    await limited(from, { amount: 1 });
    const there = await limited(to, { amount: 1, per: 'hour' });
    const key = await makeKey(from);
    expect([(await verify(key)).code, (await verify(key)).code]).toEqual(['VALID', 'RATE_LIMITED']);
    const moved = await app.post(`/api-keys/${key.id}/transfer?wait=true`, { token: admin, body: { projectId: to } });
    expect(moved.status).toBe(200);
    expect((await verify(key)).code).toBe('VALID');
    expect(await verify(key)).toMatchObject({ code: 'RATE_LIMITED', limit: { id: there.id } });
  });

  it('are explained, with what is left and when it is free again', async () => {
    const projectId = await project();
    const limit = await limited(projectId, { amount: 2 });
    const key = await makeKey(projectId);
    await verify(key, { cost: 2 });
    const body = { model: 'small' };
    const explained = (await app.post(`/api-keys/${key.id}/explain`, { token: admin, body })).body;
    expect(explained).toMatchObject({ valid: false, code: 'RATE_LIMITED' });
    expect(explained.checks.at(-1)).toMatchObject({
      ...{ check: 'limit', outcome: 'failed' },
      detail: expect.stringMatching(new RegExp(`${limit.id} .* does not cover the call\\. All of it is free at `)),
    });
    const bound = (await app.get(`/api-keys/${key.id}/limits`, { token: admin })).body.data;
    expect(bound).toMatchObject([
      { id: limit.id, per: 'minute', state: 'exhausted', details: { account: { used: 2 } } },
    ]);
  });

  it('are answered with 429 and Retry-After to a gateway, which is not told of the limit', async () => {
    const projectId = await project();
    await limited(projectId, { amount: 1 });
    const key = await makeKey(projectId);
    const headers = { 'x-latchkey-gateway-key': gateway, 'x-api-key': key.secret };
    expect((await app.get('/forward-auth', { headers })).status).toBe(200);
    const refused = await app.get('/forward-auth', { headers });
    expect([refused.status, refused.body.code]).toEqual([429, 'RATE_LIMITED']);
    expect(refused.body.detail).toBe('A limit does not cover this call.');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('take the place of a limit by day, unless a member has more than a window may have', async () => {
    const projectId = await project();
    const { ownerId } = await makeKey(projectId);
    const body = { name: 'A', unit: 'requests', amount: 5, each: 'owner', target: { kind: 'project', id: projectId } };
    const put = (per: string) =>
      app.put('/limits/by-alias/restarted?restart=true', { token: admin, body: { ...body, per } });
    const { id } = (await put('day')).body;
    const give = (amount: number) => app.put(`/limits/${id}/accounts/${ownerId}`, { token: admin, body: { amount } });
    await give(1_000_000_001);
    expect((await put('hour')).body).toMatchObject({
      ...{ status: 400, errors: [{ path: 'per', message: expect.stringContaining('more than 10^9') }] },
    });
    await give(1_000_000_000);
    const { body: hourly } = await put('hour');
    expect(await accounts(hourly.id)).toMatchObject([{ amount: 1_000_000_000, used: 0 }]);
  });

  it('are refused where the key says the same, with a zone, and beside a replica that would not enforce them', async () => {
    const projectId = await project();
    const key = await makeKey(projectId);
    const post = (body: object) =>
      app.post('/limits', { token: admin, body: { name: 'A', unit: 'requests', amount: 1, per: 'hour', ...body } });
    const onKey = { target: { kind: 'key', id: key.id } };
    expect((await post(onKey)).body.errors).toEqual([
      { path: 'target.kind', message: 'is said by the key itself: set its rateLimitPerHour' },
    ]);
    expect((await post({ ...onKey, models: ['gpt-4*'] })).status).toBe(201);
    const onProject = { target: { kind: 'project', id: projectId } };
    expect((await post({ ...onProject, timeZone: 'Europe/Berlin' })).body.errors).toMatchObject([{ path: 'timeZone' }]);
    // `onProject` is by hour.
    expect((await post({ ...onProject, unit: 'tokens' })).body.errors).toMatchObject([{ path: 'per' }]);
    expect((await post({ ...onProject, amount: 1_000_000_001 })).body.errors).toMatchObject([{ path: 'amount' }]);
    const older = '00000000-0000-7000-8000-00000000a1df';
    await app.dataSource.query('INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 5)', [older]);
    expect((await post(onProject)).body).toMatchObject({ status: 409, code: 'LIMITS_NOT_ENFORCED' });
    expect((await post({ ...onProject, per: 'day' })).status).toBe(201);
    await app.dataSource.query('DELETE FROM replica WHERE id = $1', [older]);
    const dry = await app.post('/limits?dryRun=true', {
      ...{ token: admin, body: { name: 'A', unit: 'requests', amount: 1, per: 'hour', ...onProject } },
    });
    expect(dry.body).toMatchObject({ keyCount: 1, accountCount: 1, exhaustedCount: 0, costUnknown: 'not-reported' });
  });
});
