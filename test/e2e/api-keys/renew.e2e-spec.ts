import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import {
  countByStatus,
  expire,
  inDays,
  isInDays,
  makeKey,
  pathsOf,
  trailOf,
  verdictOn,
} from '../../support/made-keys.js';

describe('POST /api-keys/:id/renew', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  const renew = (id: string, token: string, body?: object) =>
    app.post(`/api-keys/${id}/renew`, { token, ...(body && { body }) });

  beforeAll(async () => {
    app = await TestApp.start({ KEY_VALIDITY_DAYS: '15' });
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it.each([
      ['the key’s own window', 40, 40],
      ['the configured one where the key has none', undefined, 15],
    ])('starts %s anew', async (_, validityDays, days) => {
      const key = await makeKey(app, owner.token, { ...(validityDays && { validityDays }), expiresAt: inDays(1) });
      const { status, body } = await renew(key.id, owner.token);
      expect(status).toBe(200);
      expect(isInDays(body.expiresAt, days)).toBe(true);
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({
        action: 'api-keys:renew',
        changes: [{ field: 'expiresAt', before: key.view.expiresAt, after: body.expiresAt }],
      });
    });

    it('brings an expired key back with the secret it had', async () => {
      const key = await makeKey(app, owner.token);
      await expire(app, key.id);
      expect(await verdictOn(app, key.secret)).toBe('EXPIRED');
      const { body } = await renew(key.id, owner.token);
      expect(body).toMatchObject({ status: 'active', keyPrefix: key.view.keyPrefix });
      expect(body.secretKey).toBeUndefined();
      expect(await verdictOn(app, key.secret)).toBe('VALID');
    });

    it('leaves a deactivated key deactivated, by which user it may be', async () => {
      const key = await makeKey(app, owner.token);
      await app.post(`/api-keys/${key.id}/deactivate`, { token: admin });
      expect((await renew(key.id, owner.token)).body).toMatchObject({ isActive: false, status: 'inactive' });
    });

    it('takes any future date from a holder of the permission', async () => {
      const key = await makeKey(app, owner.token, { expiresAt: inDays(1) });
      const expiresAt = inDays(500);
      expect((await renew(key.id, admin, { expiresAt })).body.expiresAt).toBe(expiresAt);
    });
  });

  describe('400', () => {
    it.each([
      ['a past date', '2020-01-01T00:00:00Z'],
      ['null', null],
      ['a date without a zone', '2099-01-01T00:00:00'],
    ])('refuses %s', async (_, expiresAt) => {
      const key = await makeKey(app, owner.token);
      const answer = await renew(key.id, admin, { expiresAt });
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['expiresAt']);
    });
  });

  describe('403', () => {
    it('refuses an owner a later date of the owner’s choice', async () => {
      const key = await makeKey(app, owner.token, { expiresAt: inDays(1) });
      const answer = await renew(key.id, owner.token, { expiresAt: inDays(2) });
      expect(answer.status).toBe(403);
      expect(answer.body.code).toBe('OWNER_MAY_ONLY_TIGHTEN');
      expect(pathsOf(answer)).toEqual(['expiresAt']);
    });

    it('refuses an owner a window longer than the key policy', async () => {
      await app.addRole('short', ['platform:api-keys:create'], { maxValidityDays: 7 });
      const short = await app.addUser(['short']);
      const key = await makeKey(app, admin, { ownerId: short.id, validityDays: 30 });
      await expire(app, key.id);
      const answer = await renew(key.id, short.token);
      expect(answer.body.code).toBe('OUTSIDE_POLICY');
      expect(pathsOf(answer)).toEqual(['expiresAt']);
      const own = await makeKey(app, short.token);
      expect(isInDays((await renew(own.id, short.token)).body.expiresAt, 7)).toBe(true);
    });

    it('refuses who would revive another’s key that may do more than the caller', async () => {
      await app.addRole('renewer', ['platform:api-keys:update']);
      const helpdesk = await app.addUser(['renewer']);
      const service = await app.addUser(['gateway']);
      const key = await makeKey(app, admin, { ownerId: service.id, roles: ['gateway'], expiresAt: inDays(1) });
      expect((await renew(key.id, helpdesk.token)).body.code).toBe('CANNOT_GRANT');
      const plain = await makeKey(app, admin, { ownerId: service.id, expiresAt: inDays(1) });
      expect((await renew(plain.id, helpdesk.token)).status).toBe(200);
    });
  });

  describe('409', () => {
    it('refuses a revoked key', async () => {
      const key = await makeKey(app, owner.token);
      await app.post(`/api-keys/${key.id}/revoke`, { token: owner.token });
      expect((await renew(key.id, owner.token)).body.code).toBe('ALREADY_REVOKED');
    });
  });

  describe('429', () => {
    it('never passes the cap when fifty expired keys are renewed at once', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 50 });
      const ids: string[] = [];
      for (let count = 0; count < 50; count += 1) ids.push((await makeKey(app, full.token)).id);
      await app.dataSource.query(`UPDATE api_key SET expires_at = now() - interval '1 hour' WHERE owner_id = $1`, [
        full.id,
      ]);
      await app.dataSource.query(`UPDATE users SET max_active_keys = 4 WHERE id = $1`, [full.id]);
      const answers = await Promise.all(ids.map((id) => renew(id, full.token)));
      expect(countByStatus(answers)).toEqual({ 200: 4, 429: 46 });
      expect(answers.find(({ status }) => status === 429)!.body).toMatchObject({
        code: 'API_KEY_LIMIT_REACHED',
        maxActiveKeys: 4,
      });
      // What is active already does not count as one more.
      const renewed = answers.find(({ status }) => status === 200)!.body.id;
      expect((await renew(renewed, full.token)).status).toBe(200);
    });
  });
});
