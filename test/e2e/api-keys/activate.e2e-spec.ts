import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { countByStatus, expire, makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

describe('POST /api-keys/:id/activate', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  const activate = (id: string, token: string) => app.post(`/api-keys/${id}/activate`, { token });
  const deactivate = (id: string, token: string) => app.post(`/api-keys/${id}/deactivate`, { token });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('brings back what the owner deactivated', async () => {
      const key = await makeKey(app, owner.token);
      await deactivate(key.id, owner.token);
      const { status, body } = await activate(key.id, owner.token);
      expect(status).toBe(200);
      expect(body).toMatchObject({ isActive: true, status: 'active', deactivatedAt: null, deactivatedBy: null });
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({ action: 'api-keys:activate', actor_id: owner.id });
    });

    it('changes nothing where the key is active, not even the trail', async () => {
      const key = await makeKey(app, owner.token);
      expect((await activate(key.id, owner.token)).status).toBe(200);
      expect(await trailOf(app, key.id)).toHaveLength(1);
    });

    it('lets a holder of the permission undo what anybody did', async () => {
      const key = await makeKey(app, owner.token);
      await deactivate(key.id, owner.token);
      expect((await activate(key.id, admin)).status).toBe(200);
    });

    it('does not count an expired key against the cap', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 1 });
      const expired = await makeKey(app, full.token);
      await deactivate(expired.id, full.token);
      await expire(app, expired.id);
      await makeKey(app, full.token);
      expect((await activate(expired.id, full.token)).body).toMatchObject({ isActive: true, status: 'expired' });
    });
  });

  describe('403', () => {
    it('refuses who would revive another’s key that may do more than the caller', async () => {
      await app.addRole('reviver', ['platform:api-keys:update']);
      const helpdesk = await app.addUser(['reviver']);
      const service = await app.addUser(['gateway']);
      const key = await makeKey(app, admin, { ownerId: service.id, roles: ['gateway'] });
      await deactivate(key.id, helpdesk.token);
      const { status, body } = await activate(key.id, helpdesk.token);
      expect(status).toBe(403);
      expect(body.code).toBe('CANNOT_GRANT');
      expect(await verdictOn(app, key.secret)).toBe('DISABLED');
    });
  });

  describe('404', () => {
    it('is the answer to a key that asks for itself', async () => {
      const key = await makeKey(app, owner.token);
      expect((await app.post(`/api-keys/${key.id}/activate`, { apiKey: key.secret })).status).toBe(404);
    });
  });

  describe('409', () => {
    it('refuses an owner what another user deactivated', async () => {
      const key = await makeKey(app, owner.token);
      await deactivate(key.id, admin);
      const { status, body } = await activate(key.id, owner.token);
      expect(status).toBe(409);
      expect(body.code).toBe('DEACTIVATED_BY_OTHER');
    });

    it('refuses an owner after a user with the permission has taken over the deactivation', async () => {
      const key = await makeKey(app, owner.token);
      await deactivate(key.id, owner.token);
      await deactivate(key.id, admin);
      expect((await activate(key.id, owner.token)).body.code).toBe('DEACTIVATED_BY_OTHER');
    });

    it('refuses a revoked key', async () => {
      const key = await makeKey(app, owner.token);
      await app.post(`/api-keys/${key.id}/revoke`, { token: owner.token });
      expect((await activate(key.id, owner.token)).body.code).toBe('ALREADY_REVOKED');
    });
  });

  describe('429', () => {
    it('never passes the cap, however many activations and creates run at once', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 50 });
      const ids: string[] = [];
      for (let count = 0; count < 25; count += 1) ids.push((await makeKey(app, full.token)).id);
      await app.dataSource.query(
        `UPDATE api_key SET is_active = false, deactivated_at = now(), deactivated_by = owner_id WHERE owner_id = $1`,
        [full.id],
      );
      await app.dataSource.query(`UPDATE users SET max_active_keys = 7 WHERE id = $1`, [full.id]);
      const answers = await Promise.all([
        ...ids.map((id) => activate(id, full.token)),
        ...ids.map(() => app.post('/api-keys', { token: full.token })),
      ]);
      const counts = countByStatus(answers);
      expect((counts[200] ?? 0) + (counts[201] ?? 0)).toBe(7);
      expect(counts[429]).toBe(43);
      const [row] = await app.dataSource.query<{ count: number }[]>(
        'SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1 AND is_active',
        [full.id],
      );
      expect(row!.count).toBe(7);
    });
  });
});
