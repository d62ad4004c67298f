import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

describe('POST /api-keys/:id/deactivate', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  const deactivate = (id: string, token: string, query = '') =>
    app.post(`/api-keys/${id}/deactivate${query}`, { token });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('has the key refused at once and says who did it', async () => {
      const key = await makeKey(app, owner.token);
      const { status, body } = await deactivate(key.id, owner.token, '?wait=true');
      expect(status).toBe(200);
      expect(body).toMatchObject({
        isActive: false,
        status: 'inactive',
        deactivatedBy: owner.id,
        deactivatedAt: expect.any(String),
      });
      expect(await verdictOn(app, key.secret)).toBe('DISABLED');
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({
        action: 'api-keys:deactivate',
        changes: expect.arrayContaining([{ field: 'isActive', before: true, after: false }]),
      });
    });

    it('leaves the deactivation to the user who did it', async () => {
      const key = await makeKey(app, owner.token);
      const { body: byAdmin } = await deactivate(key.id, admin);
      const { status, body } = await deactivate(key.id, owner.token);
      expect(status).toBe(200);
      expect(body.deactivatedBy).toBe(byAdmin.deactivatedBy);
      expect(await trailOf(app, key.id)).toHaveLength(2);
    });

    it('takes it over for a caller who holds the permission', async () => {
      const key = await makeKey(app, owner.token);
      await deactivate(key.id, owner.token);
      const { body } = await deactivate(key.id, admin);
      expect(body.deactivatedBy).not.toBe(owner.id);
      expect(await trailOf(app, key.id)).toHaveLength(3);
    });

    it('names the owner of a key that deactivates', async () => {
      await app.addRole('switcher', ['platform:api-keys:update']);
      const service = await app.addUser(['switcher']);
      const caller = await makeKey(app, admin, { ownerId: service.id, roles: ['switcher'] });
      const key = await makeKey(app, owner.token);
      const { body } = await app.post(`/api-keys/${key.id}/deactivate`, { apiKey: caller.secret });
      expect(body.deactivatedBy).toBe(service.id);
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({ actor_kind: 'key', actor_id: caller.id });
    });
  });

  describe('404', () => {
    it('is the answer to a key that asks for itself', async () => {
      const key = await makeKey(app, owner.token);
      expect((await app.post(`/api-keys/${key.id}/deactivate`, { apiKey: key.secret })).status).toBe(404);
    });
  });

  describe('409', () => {
    it('refuses a revoked key', async () => {
      const key = await makeKey(app, owner.token);
      await app.post(`/api-keys/${key.id}/revoke`, { token: owner.token });
      expect((await deactivate(key.id, owner.token)).body.code).toBe('ALREADY_REVOKED');
    });
  });
});
