import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { countByStatus, expire, makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

describe('DELETE /api-keys/:id/permanent', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  const remove = (id: string, token: string, query = '') => app.delete(`/api-keys/${id}/permanent${query}`, { token });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('204', () => {
    it.each([
      ['revoked', (id: string) => app.post(`/api-keys/${id}/revoke`, { token: owner.token })],
      ['expired', (id: string) => expire(app, id)],
    ])('lets an owner delete a key that is %s', async (_, end) => {
      const key = await makeKey(app, owner.token);
      await end(key.id);
      const { status, body } = await remove(key.id, owner.token, '?wait=true');
      expect(status).toBe(204);
      expect(body).toBe('');
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).status).toBe(404);
      expect(await verdictOn(app, key.secret)).toBe('NOT_FOUND');
    });

    it('lets a holder of the permission delete a key in use, and keeps what it was in the trail', async () => {
      const key = await makeKey(app, owner.token, { name: 'Gone', scopes: ['x'] });
      expect((await remove(key.id, admin)).status).toBe(204);
      const trail = await trailOf(app, key.id);
      expect(trail.map(({ action }) => action)).toEqual(['api-keys:create', 'api-keys:delete']);
      expect(trail[1]!.changes).toContainEqual({ field: 'scopes', before: ['x'], after: null });
    });
  });

  describe('403', () => {
    it('refuses an owner whose key could still be used, active or not', async () => {
      const key = await makeKey(app, owner.token);
      for (const state of ['active', 'inactive']) {
        if (state === 'inactive') await app.post(`/api-keys/${key.id}/deactivate`, { token: owner.token });
        const { status, body } = await remove(key.id, owner.token);
        expect(status).toBe(403);
        expect(body).toMatchObject({ code: 'PERMISSION_DENIED', permission: 'platform:api-keys:delete' });
      }
    });
  });

  describe('404', () => {
    it('is the answer of all but one of many at once', async () => {
      const key = await makeKey(app, owner.token);
      const answers = await Promise.all(Array.from({ length: 10 }, () => remove(key.id, admin)));
      expect(countByStatus(answers)).toEqual({ 204: 1, 404: 9 });
    });

    it('is the answer to a key that asks for itself', async () => {
      const key = await makeKey(app, owner.token);
      expect((await app.delete(`/api-keys/${key.id}/permanent`, { apiKey: key.secret })).status).toBe(404);
    });
  });
});
