import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ADMIN, TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

describe('PUT /users/:id/roles', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('people', ['platform:users:*', 'platform:api-keys:create']);
    await app.addRole('bound', ['platform:users:update', 'platform:api-keys:create'], { maxValidityDays: 7 });
    await app.addRole('wide', [], { maxValidityDays: 30 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('replaces the roles and narrows the open session at once', async () => {
      const user = await app.addUser(['creator', 'auditor']);
      expect((await app.get('/users', { token: user.token })).status).toBe(200);
      const { status, body } = await app.put(`/users/${user.id}/roles`, {
        token: admin,
        body: { roles: ['user', 'creator'] },
      });
      expect(status).toBe(200);
      expect(body.roles).toEqual(['creator', 'user']);
      expect((await app.get('/users', { token: user.token })).status).toBe(403);
      expect((await app.get('/auth/me', { token: user.token })).body.permissions).toEqual(['platform:api-keys:create']);
      expect((await trailOf(app, user.id)).at(-1)?.changes).toEqual([
        { field: 'roles', before: ['auditor', 'creator'], after: ['creator', 'user'] },
      ]);
    });

    it('narrows the keys of the user as well', async () => {
      const user = await app.addUser(['creator', 'gateway']);
      const key = (await app.post('/api-keys', { token: user.token, body: { roles: ['gateway'] } })).body.secretKey;
      const verify = () => app.post('/verify', { apiKey: key, body: { key } });
      expect((await verify()).status).toBe(200);
      await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['creator'] } });
      await app.applied();
      expect((await verify()).status).toBe(403);
    });

    it('takes all roles with an empty list', async () => {
      const user = await app.addUser(['creator']);
      expect((await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: [] } })).body.roles).toEqual([]);
    });
  });

  describe('400', () => {
    it.each([
      [{}, 'roles'],
      [{ roles: null }, 'roles'],
      [{ roles: 'admin' }, 'roles'],
      [{ roles: ['user', 'user'] }, 'roles.1'],
      [{ roles: ['No'] }, 'roles.0'],
      [{ roles: ['absent'] }, 'roles'],
      [{ roles: [], kind: 'x' }, 'kind'],
    ])('refuses %j', async (body, path) => {
      const user = await app.addUser(['creator']);
      const answer = await app.put(`/users/${user.id}/roles`, { token: admin, body });
      expect(answer.status).toBe(400);
      expect(answer.body.errors[0].path).toBe(path);
      expect((await app.get(`/users/${user.id}`, { token: admin })).body.roles).toEqual(['creator']);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.put('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55/roles', { body: { roles: [] } })).status).toBe(
        401,
      );
    });
  });

  describe('403', () => {
    it('refuses to give what the caller does not hold, to the caller as well', async () => {
      const me = await app.addUser(['people']);
      for (const id of [me.id, (await app.addUser([])).id]) {
        expect(await app.put(`/users/${id}/roles`, { token: me.token, body: { roles: ['admin'] } })).toMatchObject({
          status: 403,
          body: { code: 'CANNOT_GRANT', grants: ['*'] },
        });
      }
    });

    it('takes a bound from a user who makes keys with platform:api-keys:update alone', async () => {
      await app.addRole('makes', ['platform:api-keys:create']);
      const [me, user] = [await app.addUser(['people']), await app.addUser(['makes', 'wide'])];
      const put = (roles: string[], token = me.token) => app.put(`/users/${user.id}/roles`, { token, body: { roles } });
      expect((await put(['makes'])).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:api-keys:update',
      });
      // Without the right to make keys there is nothing to bound.
      expect((await put([])).status).toBe(200);
      expect((await put(['makes', 'wide'], admin)).status).toBe(200);
      expect((await put(['makes'], admin)).status).toBe(200);
    });

    it('refuses to take what the caller does not hold', async () => {
      const [me, auditor] = [await app.addUser(['people']), await app.addUser(['auditor'])];
      expect((await app.put(`/users/${auditor.id}/roles`, { token: me.token, body: { roles: [] } })).body.code).toBe(
        'CANNOT_GRANT',
      );
    });

    it('lets nobody leave a key policy by another role, nor by dropping the one that binds', async () => {
      const me = await app.addUser(['bound']);
      const put = (roles: string[]) => app.put(`/users/${me.id}/roles`, { token: me.token, body: { roles } });
      expect((await put(['bound', 'wide'])).body.code).toBe('OUTSIDE_POLICY');
      expect((await put(['creator'])).body.code).toBe('OUTSIDE_POLICY');
      expect((await put(['bound', 'creator'])).status).toBe(200);
    });
  });

  describe('404', () => {
    it('does not know users who are not there', async () => {
      expect(
        (await app.put('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55/roles', { token: admin, body: { roles: [] } })).body
          .code,
      ).toBe('USER_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('keeps the last admin an admin', async () => {
      const me = (await app.get('/auth/me', { token: admin })).body.user.id;
      expect(await app.put(`/users/${me}/roles`, { token: admin, body: { roles: ['user'] } })).toMatchObject({
        status: 409,
        body: { code: 'LAST_ADMIN' },
      });
    });

    it('leaves one admin when all step down at once', async () => {
      const others = [await app.addUser(['admin']), await app.addUser(['admin']), await app.addUser(['admin'])];
      const me = {
        id: (await app.get('/auth/me', { token: admin })).body.user.id,
        token: await app.tokenOf(ADMIN.email, ADMIN.password),
      };
      const answers = await Promise.all(
        [me, ...others].map(({ id, token }) => app.put(`/users/${id}/roles`, { token, body: { roles: ['user'] } })),
      );
      expect(answers.map(({ status, body }) => body.code ?? status).sort()).toEqual([200, 200, 200, 'LAST_ADMIN']);
      await app.dataSource.query(`INSERT INTO user_role VALUES ($1, 'admin') ON CONFLICT DO NOTHING`, [me.id]);
    });
  });

  describe('beside a change of the role', () => {
    it('never gives more than the caller holds when it is done', async () => {
      const boss = await app.addUser(['admin']);
      for (let round = 0; round < 15; round += 1) {
        const name = `shifting-${round}`;
        await app.addRole(name, ['platform:api-keys:create']);
        const [me, other] = [await app.addUser(['people']), await app.addUser([])];
        const [assigned, widened] = await Promise.all([
          app.put(`/users/${other.id}/roles`, { token: me.token, body: { roles: [name] } }),
          app.patch(`/roles/${name}`, { token: boss.token, body: { permissions: ['platform:audit:read'] } }),
        ]);
        expect(widened.status).toBe(200);
        const order = await app.dataSource.query<{ action: string }[]>(
          `SELECT action FROM audit_event WHERE resource_id = ANY($1) AND action IN ('users:update', 'roles:update') AND outcome = 'success' ORDER BY seq`,
          [[other.id, name]],
        );
        // Assigned first: the admin widened it afterwards, knowing who has it. Widened first: refused.
        const assignedFirst = ['users:update', 'roles:update'];
        expect(order.map(({ action }) => action)).toEqual(assigned.status === 200 ? assignedFirst : ['roles:update']);
        if (assigned.status !== 200) expect(assigned).toMatchObject({ status: 403, body: { code: 'CANNOT_GRANT' } });
      }
    });

    it('never grants by an authority that ended a moment before', async () => {
      for (let round = 0; round < 15; round += 1) {
        const [me, other] = [await app.addUser(['people']), await app.addUser([])];
        const [granted, demoted] = await Promise.all([
          app.put(`/users/${other.id}/roles`, { token: me.token, body: { roles: ['creator'] } }),
          app.put(`/users/${me.id}/roles`, { token: admin, body: { roles: [] } }),
        ]);
        expect(demoted.status).toBe(200);
        const rows = await app.dataSource.query<{ resource_id: string }[]>(
          `SELECT resource_id FROM audit_event WHERE resource_id = ANY($1) AND action = 'users:update' ORDER BY seq`,
          [[me.id, other.id]],
        );
        expect(granted.status === 200 ? rows.map((row) => row.resource_id) : [granted.body.code]).toEqual(
          granted.status === 200 ? [other.id, me.id] : ['PERMISSION_DENIED'],
        );
      }
    });
  });
});
