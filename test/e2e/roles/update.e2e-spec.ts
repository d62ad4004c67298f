import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

describe('PATCH /roles/:name', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('role-maker', ['platform:roles:*', 'platform:api-keys:create']);
    await app.addRole('bound-maker', ['platform:roles:*', 'platform:api-keys:create'], { maxRateLimitPerMinute: 10 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('changes what is sent and nothing else, with before and after in the trail', async () => {
      await app.addRole('changing', ['platform:users:read']);
      const { status, body } = await app.patch('/roles/changing', {
        token: admin,
        body: { permissions: ['platform:audit:read'] },
      });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        name: 'changing',
        permissions: ['platform:audit:read'],
        description: '',
        isActive: true,
      });
      expect((await trailOf(app, 'changing')).at(-1)).toMatchObject({
        action: 'roles:update',
        changes: [{ field: 'permissions', before: ['platform:users:read'], after: ['platform:audit:read'] }],
      });
    });

    it('narrows open sessions and keys at once, when grants go and when the role sleeps', async () => {
      await app.addRole('watcher', ['platform:users:read', 'platform:roles:read', 'platform:api-keys:create']);
      const user = await app.addUser(['watcher']);
      const key = (await app.post('/api-keys', { token: user.token, body: { roles: ['watcher'] } })).body.secretKey;
      await app.patch('/roles/watcher', { token: admin, body: { permissions: ['platform:roles:read'] } });
      expect([
        (await app.get('/users', { token: user.token })).status,
        (await app.get('/users', { apiKey: key })).status,
      ]).toEqual([403, 403]);
      expect([
        (await app.get('/roles', { token: user.token })).status,
        (await app.get('/roles', { apiKey: key })).status,
      ]).toEqual([200, 200]);
      await app.patch('/roles/watcher', { token: admin, body: { isActive: false } });
      expect([
        (await app.get('/roles', { token: user.token })).status,
        (await app.get('/roles', { apiKey: key })).status,
      ]).toEqual([403, 403]);
      await app.patch('/roles/watcher', { token: admin, body: { isActive: true } });
      expect((await app.get('/roles', { token: user.token })).status).toBe(200);
    });

    it('states and clears a key policy', async () => {
      await app.addRole('plan', ['platform:api-keys:create']);
      const user = await app.addUser(['plan']);
      await app.patch('/roles/plan', { token: admin, body: { keyPolicy: { maxRateLimitPerHour: 5 } } });
      expect((await app.post('/api-keys', { token: user.token, body: { rateLimitPerHour: 6 } })).body.code).toBe(
        'OUTSIDE_POLICY',
      );
      expect((await app.patch('/roles/plan', { token: admin, body: { keyPolicy: null } })).body.keyPolicy).toBeNull();
      expect((await app.post('/api-keys', { token: user.token, body: { rateLimitPerHour: 6 } })).status).toBe(201);
    });
  });

  describe('400', () => {
    it.each([
      [{ name: 'other' }, 'name'],
      [{ permissions: null }, 'permissions'],
      [{ permissions: ['x y'] }, 'permissions.0'],
      [{ isActive: null }, 'isActive'],
      [{ description: null }, 'description'],
      [{ keyPolicy: { maxBudgetLimitCents: -1 } }, 'keyPolicy.maxBudgetLimitCents'],
    ])('refuses %j', async (body, path) => {
      const answer = await app.patch('/roles/role-maker', { token: admin, body });
      expect(answer.status).toBe(400);
      expect(answer.body.errors[0].path).toBe(path);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.patch('/roles/role-maker', { body: {} })).status).toBe(401);
    });
  });

  describe('403', () => {
    it('refuses to add what the caller does not hold, and to touch what grants more than that', async () => {
      const { token } = await app.addUser(['role-maker']);
      expect((await app.patch('/roles/role-maker', { token, body: { permissions: ['*'] } })).body).toMatchObject({
        code: 'CANNOT_GRANT',
        grants: ['*'],
      });
      for (const body of [{ permissions: [] }, { isActive: false }, { description: 'mine' }]) {
        expect((await app.patch('/roles/auditor', { token, body })).body.code).toBe('CANNOT_GRANT');
      }
    });

    it('lets nobody take off, widen or put to sleep the policy that binds the caller', async () => {
      const { token } = await app.addUser(['bound-maker', 'creator']);
      for (const body of [
        { keyPolicy: null },
        { keyPolicy: {} },
        { keyPolicy: { maxRateLimitPerMinute: 11 } },
        { isActive: false },
      ]) {
        expect(await app.patch('/roles/bound-maker', { token, body })).toMatchObject({
          status: 403,
          body: { code: 'OUTSIDE_POLICY' },
        });
      }
      expect(
        (await app.patch('/roles/bound-maker', { token, body: { keyPolicy: { maxRateLimitPerMinute: 9 } } })).status,
      ).toBe(200);
    });

    it('lets nobody without platform:api-keys:update take a bound or a reserved tag from the keys of others', async () => {
      const { token } = await app.addUser(['role-maker']);
      const policy = { maxRateLimitPerMinute: 10, scopes: ['chat:*'], reservedTagPrefixes: ['plan:'] };
      await app.addRole('bounded', [], policy);
      const { maxRateLimitPerMinute: _, ...unlimited } = policy;
      const patch = (keyPolicy: object | null) => app.patch('/roles/bounded', { token, body: { keyPolicy } });
      const looser = [
        null,
        {},
        unlimited,
        { ...policy, maxRateLimitPerMinute: 11 },
        { ...policy, reservedTagPrefixes: ['plan:a'] },
        { ...policy, scopes: ['*'] },
      ];
      for (const keyPolicy of looser) {
        expect((await patch(keyPolicy)).body).toMatchObject({
          code: 'PERMISSION_DENIED',
          permission: 'platform:api-keys:update',
        });
      }
      expect(
        (await patch({ ...policy, maxRateLimitPerMinute: 9, reservedTagPrefixes: ['plan', 'role:'] })).status,
      ).toBe(200);
      expect((await app.patch('/roles/bounded', { token, body: { description: 'Bounded' } })).status).toBe(200);
      expect((await app.patch('/roles/bounded', { token: admin, body: { keyPolicy: {} } })).status).toBe(200);
    });

    it('lets nobody without it widen the bounds of others by a role that they have besides', async () => {
      const { token } = await app.addUser(['role-maker']);
      await app.addRole('narrow', [], { maxRateLimitPerMinute: 60 });
      await app.addRole('beside', []);
      await app.addRole('alone', []);
      await app.addUser(['narrow', 'beside']);
      await app.addUser(['alone']);
      const patch = async (name: string, body: object, as = token) =>
        (await app.patch(`/roles/${name}`, { token: as, body })).body.code ?? 200;
      for (const keyPolicy of [{}, { maxRateLimitPerMinute: 61 }, { maxValidityDays: 1 }]) {
        expect(await patch('beside', { keyPolicy })).toBe('PERMISSION_DENIED');
        expect(await patch('alone', { keyPolicy })).toBe('maxValidityDays' in keyPolicy ? 'PERMISSION_DENIED' : 200);
      }
      expect(await patch('beside', { keyPolicy: { reservedTagPrefixes: ['beside:'] } })).toBe(200);
      expect(
        await patch('beside', { keyPolicy: { maxRateLimitPerMinute: 60, reservedTagPrefixes: ['beside:'] } }),
      ).toBe(200);
      expect(await patch('beside', { isActive: false, keyPolicy: { maxRateLimitPerMinute: 90 } }, admin)).toBe(200);
      expect(await patch('beside', { isActive: true })).toBe('PERMISSION_DENIED');
      expect(await patch('beside', { isActive: true }, admin)).toBe(200);
    });

    it('lets nobody without it switch off a role that bounds keys or reserves tags, and anybody switch it on', async () => {
      const { token } = await app.addUser(['role-maker']);
      await app.addRole('limits', [], { maxRateLimitPerMinute: 60 });
      await app.addRole('reserves', [], { reservedTagPrefixes: ['plan:'] });
      await app.addRole('grants', ['platform:api-keys:create']);
      const user = await app.addUser(['limits', 'grants']);
      const create = () => app.post('/api-keys', { token: user.token, body: { rateLimitPerMinute: 9_000 } });
      const switched = (name: string, isActive: boolean, as = token) =>
        app.patch(`/roles/${name}`, { token: as, body: { isActive } });
      for (const name of ['limits', 'reserves']) {
        expect((await switched(name, false)).body).toMatchObject({
          code: 'PERMISSION_DENIED',
          permission: 'platform:api-keys:update',
        });
      }
      expect((await create()).body.code).toBe('OUTSIDE_POLICY');
      expect((await switched('limits', false, admin)).status).toBe(200);
      expect((await create()).status).toBe(201);
      expect((await switched('limits', true)).status).toBe(200);
      expect((await create()).body.code).toBe('OUTSIDE_POLICY');
    });
  });

  describe('404', () => {
    it('does not know roles that are not there', async () => {
      expect((await app.patch('/roles/nobody', { token: admin, body: {} })).body.code).toBe('ROLE_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('keeps admin as it is', async () => {
      expect(await app.patch('/roles/admin', { token: admin, body: { permissions: [] } })).toMatchObject({
        status: 409,
        body: { code: 'ROLE_IMMUTABLE' },
      });
      expect(await app.delete('/roles/admin', { token: admin })).toMatchObject({
        status: 409,
        body: { code: 'ROLE_IMMUTABLE' },
      });
    });
  });

  it('changes each other’s roles at once without a deadlock', async () => {
    await app.addRole('left', ['platform:roles:*']);
    await app.addRole('right', ['platform:roles:*']);
    const users = await Promise.all([app.addUser(['left', 'right']), app.addUser(['left', 'right'])]);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, round) =>
        app.patch(`/roles/${round % 2 ? 'left' : 'right'}`, {
          token: users[round % 2 ? 0 : 1].token,
          body: { description: `round ${round}` },
        }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
  });
});
