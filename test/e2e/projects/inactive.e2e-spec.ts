import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

describe('a disabled project', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let names = 0;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    owner = await app.addUser(['creator']);
  });
  afterAll(() => app.stop());

  const project = async (body: object = {}): Promise<string> =>
    (await app.post('/projects', { token: admin, body: { name: `Switched ${++names}`, ...body } })).body.id;
  const set = (id: string, isActive: boolean) =>
    app.patch(`/projects/${id}?wait=true`, { token: admin, body: { isActive } });

  it('refuses its keys as PROJECT_INACTIVE until it is active again, and no other keys', async () => {
    const id = await project();
    const inside = await makeKey(app, admin, { projectId: id, ownerId: owner.id });
    const outside = await makeKey(app, admin, { ownerId: owner.id });
    expect(await verdictOn(app, inside.secret)).toBe('VALID');
    const { status, body } = await set(id, false);
    expect(status).toBe(200);
    expect(body.isActive).toBe(false);
    expect(await verdictOn(app, inside.secret)).toBe('PROJECT_INACTIVE');
    expect(await verdictOn(app, outside.secret)).toBe('VALID');
    await set(id, true);
    expect(await verdictOn(app, inside.secret)).toBe('VALID');
    expect(
      (
        await app.dataSource.query(
          `SELECT changes FROM audit_event WHERE resource_id = $1 AND action = 'projects:update' ORDER BY seq`,
          [id],
        )
      ).map(({ changes }: { changes: unknown }) => changes),
    ).toEqual([
      [{ field: 'isActive', before: true, after: false }],
      [{ field: 'isActive', before: false, after: true }],
    ]);
  });

  it('is left by a transfer, and entered by one', async () => {
    const [off, on] = [await project({ isActive: false }), await project()];
    const key = await makeKey(app, admin, { projectId: off });
    expect(await verdictOn(app, key.secret)).toBe('PROJECT_INACTIVE');
    const move = (projectId: string) => app.post(`/api-keys/${key.id}/transfer`, { token: admin, body: { projectId } });
    expect((await move(on)).status).toBe(200);
    expect(await verdictOn(app, key.secret)).toBe('VALID');
    expect((await move(off)).status).toBe(200);
    expect(await verdictOn(app, key.secret)).toBe('PROJECT_INACTIVE');
    expect((await trailOf(app, key.id)).map(({ action }) => action)).toEqual([
      'api-keys:create',
      'api-keys:transfer',
      'api-keys:transfer',
    ]);
  });

  it('is what explain, the doors of gateways and the refused calls of a key say', async () => {
    const id = await project();
    const key = await makeKey(app, admin, { projectId: id });
    const gateway = await makeKey(app, admin, { roles: ['gateway'] });
    await set(id, false);
    const { body } = await app.post(`/api-keys/${key.id}/explain`, { token: admin, body: {} });
    expect(body).toMatchObject({ valid: false, code: 'PROJECT_INACTIVE' });
    expect(body.checks).toContainEqual({
      check: 'project',
      outcome: 'failed',
      detail: 'The project of the key is inactive.',
    });
    const door = await app.get('/forward-auth', {
      headers: { 'x-latchkey-gateway-key': gateway.secret, authorization: `Bearer ${key.secret}` },
    });
    expect([door.status, door.headers.get('x-latchkey-code')]).toEqual([401, 'PROJECT_INACTIVE']);
    const introspected = await app.post('/introspect', {
      rawBody: new URLSearchParams({ token: key.secret }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      apiKey: gateway.secret,
    });
    expect(introspected.body).toEqual({ active: false });
    await eventually(async () => {
      const calls = await app.get(`/api-keys/${key.id}/refusals?code=PROJECT_INACTIVE`, { token: admin });
      expect(calls.body.data.length).toBeGreaterThan(0);
    });
  });

  it('ends what its keys may do here', async () => {
    const id = await project();
    const reader = await makeKey(app, admin, { projectId: id, roles: ['auditor'] });
    const read = () => app.get('/projects', { apiKey: reader.secret });
    expect((await read()).status).toBe(200);
    await set(id, false);
    expect((await read()).status).toBe(401);
  });

  it('never answers VALID once the change was waited for, however many verifies run beside it', async () => {
    const id = await project();
    const key = await makeKey(app, admin, { projectId: id });
    const gateway = await makeKey(app, admin, { roles: ['gateway'] });
    const verify = async () =>
      (await app.post('/verify', { apiKey: gateway.secret, body: { key: key.secret } })).body.code as string;
    for (let round = 0; round < 10; round += 1) {
      expect(await verify()).toBe('VALID');
      const beside = Array.from({ length: 5 }, () => verify());
      await set(id, false);
      expect(await verify()).toBe('PROJECT_INACTIVE');
      expect((await Promise.all(beside)).every((code) => ['VALID', 'PROJECT_INACTIVE'].includes(code))).toBe(true);
      await set(id, true);
    }
  });
});
