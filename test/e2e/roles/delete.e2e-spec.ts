import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

describe('DELETE /roles/:name', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  describe('204', () => {
    it('removes a role that nobody carries, and says so in the trail', async () => {
      await app.addRole('unused', []);
      expect((await app.delete('/roles/unused', { token: admin })).status).toBe(204);
      expect((await app.get('/roles/unused', { token: admin })).status).toBe(404);
      expect((await trailOf(app, 'unused')).at(-1)).toMatchObject({ action: 'roles:delete' });
    });

    it('does not count revoked keys', async () => {
      await app.addRole('past', []);
      const { body } = await app.post('/api-keys', { token: admin, body: { roles: ['past'] } });
      await app.dataSource.query('UPDATE api_key SET revoked_at = now() WHERE id = $1', [body.apiKey.id]);
      expect((await app.delete('/roles/past', { token: admin })).status).toBe(204);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.delete('/roles/user')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the missing permission', async () => {
      const { token } = await app.addUser(['creator']);
      expect((await app.delete('/roles/user', { token })).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:roles:delete',
      });
    });

    it('keeps a role that reserves tags or bounds keys from those without platform:api-keys:update', async () => {
      await app.addRole('role-keeper', ['platform:roles:*']);
      const { token } = await app.addUser(['role-keeper']);
      await app.addRole('reserving', [], { reservedTagPrefixes: ['plan:'] });
      await app.addRole('bounding', [], { maxRateLimitPerMinute: 10 });
      expect((await app.delete('/roles/reserving', { token })).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:api-keys:update',
      });
      expect((await app.delete('/roles/bounding', { token })).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:api-keys:update',
      });
      expect((await app.delete('/roles/reserving', { token: admin })).status).toBe(204);
      expect((await app.delete('/roles/bounding', { token: admin })).status).toBe(204);
    });
  });

  describe('404', () => {
    it('does not know roles that are not there', async () => {
      expect((await app.delete('/roles/nobody', { token: admin })).body.code).toBe('ROLE_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('counts the users and keys that carry it', async () => {
      await app.addRole('busy', []);
      await app.addUser(['busy']);
      await app.addUser(['busy']);
      await app.post('/api-keys', { token: admin, body: { roles: ['busy'] } });
      expect(await app.delete('/roles/busy', { token: admin })).toMatchObject({
        status: 409,
        body: { code: 'ROLE_IN_USE', users: 2, keys: 1 },
      });
    });

    it.each(['a user', 'a key', 'a new user'])(
      'never leaves %s with a role that was deleted at the same moment',
      async (who) => {
        for (let round = 0; round < 10; round += 1) {
          const name = `race-${who.replaceAll(' ', '-')}-${round}`;
          await app.addRole(name, []);
          const user = await app.addUser([]);
          const give = {
            'a user': () => app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: [name] } }),
            'a key': () => app.post('/api-keys', { token: admin, body: { roles: [name], ownerId: user.id } }),
            'a new user': () =>
              app.post('/users', { token: admin, body: { name: 'x', email: `${name}@latchkey.test`, roles: [name] } }),
          }[who]!;
          const [given, deleted] = await Promise.all([give(), app.delete(`/roles/${name}`, { token: admin })]);
          expect([deleted.status, given.status < 300]).toEqual(deleted.status === 204 ? [204, false] : [409, true]);
          if (deleted.status === 204)
            expect(given).toMatchObject({ status: 400, body: { errors: [{ path: 'roles' }] } });
        }
      },
    );
  });
});
