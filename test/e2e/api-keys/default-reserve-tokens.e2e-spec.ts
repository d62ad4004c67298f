import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { TestApp, type TestUser } from '../../support/app.js';
import { makeKey, pathsOf, trailOf } from '../../support/made-keys.js';

const POLICY = { maxDefaultReserveTokens: 500, defaults: { defaultReserveTokens: 300 } };

describe('defaultReserveTokens of a key', () => {
  let app: TestApp;
  let admin: string;
  let bounded: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    const role = { name: 'bounded', permissions: ['platform:api-keys:create'], keyPolicy: POLICY };
    expect((await app.post('/roles', { token: admin, body: role })).status).toBe(201);
    bounded = await app.addUser(['bounded']);
  });
  afterAll(() => app.stop());

  it('is given by every route that makes or changes a key, and told by each that shows it', async () => {
    const { id } = await makeKey(app, admin, { name: 'Given', defaultReserveTokens: 10 });
    const shown = async () => (await app.get(`/api-keys/${id}`, { token: admin })).body.defaultReserveTokens;
    expect(await shown()).toBe(10);
    await app.patch(`/api-keys/${id}`, { token: admin, body: { defaultReserveTokens: 20 } });
    expect(await shown()).toBe(20);
    await app.patch(`/api-keys/${id}`, { token: admin, body: { alias: 'given', name: 'Renamed' } });
    expect(await shown()).toBe(20);
    await app.put('/api-keys/by-alias/given', { token: admin, body: { name: 'x', defaultReserveTokens: 30 } });
    expect(await shown()).toBe(30);
    const csv = await app.get('/api-keys/export?search=given', { token: admin });
    expect(csv.body).toMatch(/"defaultReserveTokens"\r\n.*,30\r\n$/);
    const sha256 = createHash('sha256').update('elsewhere').digest('hex');
    const keys = [{ sha256, prefix: 'else', defaultReserveTokens: 40 }];
    const imported = await app.post('/api-keys/import', { token: admin, body: { keys } });
    expect((await app.get(`/api-keys/${imported.body.results[0].id}`, { token: admin })).body).toMatchObject({
      defaultReserveTokens: 40,
    });
    await app.put(`/api-keys/${id}`, { token: admin, body: { name: 'Replaced', defaultReserveTokens: null } });
    expect(await shown()).toBeNull();
  });

  it('is in the trail, before and after', async () => {
    const { id } = await makeKey(app, admin, { defaultReserveTokens: 10 });
    await app.patch(`/api-keys/${id}`, { token: admin, body: { defaultReserveTokens: 20 } });
    const [, changed] = await trailOf(app, id);
    expect(changed!.changes).toContainEqual({ field: 'defaultReserveTokens', before: 10, after: 20 });
  });

  it.each([0, 1.5, 1_000_000_001, '5'])('cannot be %p', async (defaultReserveTokens) => {
    const answer = await app.post('/api-keys', { token: admin, body: { defaultReserveTokens } });
    expect([answer.status, pathsOf(answer)]).toEqual([400, ['defaultReserveTokens']]);
  });

  it('is what the policy of a role says where it is left out, and at most what that allows', async () => {
    const { token } = bounded;
    expect((await makeKey(app, token)).view.defaultReserveTokens).toBe(300);
    expect((await makeKey(app, token, { defaultReserveTokens: null })).view.defaultReserveTokens).toBeNull();
    expect((await makeKey(app, token, { defaultReserveTokens: 500 })).view.defaultReserveTokens).toBe(500);
    const answer = await app.post('/api-keys', { token, body: { defaultReserveTokens: 501 } });
    expect([answer.status, answer.body.code, answer.body.errors]).toEqual([
      ...[403, 'OUTSIDE_POLICY'],
      [{ path: 'defaultReserveTokens', message: 'must be at most 500' }],
    ]);
  });

  it('is raised by an owner as far as the policy goes, and never lowered or cleared', async () => {
    const { token } = bounded;
    const { id } = await makeKey(app, token);
    const set = async (defaultReserveTokens: number | null) => {
      const { status, body } = await app.patch(`/api-keys/${id}`, { token, body: { defaultReserveTokens } });
      return [status, body.code];
    };
    expect(await set(400)).toEqual([200, undefined]);
    expect(await set(399)).toEqual([403, 'OWNER_MAY_ONLY_TIGHTEN']);
    expect(await set(null)).toEqual([403, 'OWNER_MAY_ONLY_TIGHTEN']);
    expect(await set(501)).toEqual([403, 'OUTSIDE_POLICY']);
  });

  it('is filled in by no policy whose bound it exceeds', async () => {
    const keyPolicy = { maxDefaultReserveTokens: 500, defaults: { defaultReserveTokens: 501 } };
    const answer = await app.patch('/roles/bounded', { token: admin, body: { keyPolicy } });
    expect([answer.status, pathsOf(answer)]).toEqual([400, ['keyPolicy.defaults.defaultReserveTokens']]);
  });
});
