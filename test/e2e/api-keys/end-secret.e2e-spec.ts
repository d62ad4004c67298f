import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { countByStatus, makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

describe('DELETE /api-keys/:id/secrets/:kid', () => {
  let app: TestApp;
  let owner: TestUser;

  const end = (id: string, kid: string, query = '') =>
    app.delete(`/api-keys/${id}/secrets/${kid}${query}`, { token: owner.token });
  /** A key in an overlap: the old secret and the new one. */
  const overlap = async () => {
    const key = await makeKey(app, owner.token);
    const { body } = await app.post(`/api-keys/${key.id}/regenerate`, {
      token: owner.token,
      body: { overlapSeconds: 600 },
    });
    return {
      ...key,
      newKid: body.apiKey.secrets[0].kid as string,
      newSecret: body.secretKey as string,
      endsAt: body.previousSecretExpiresAt as string,
    };
  };

  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('ends the old secret before its time', async () => {
      const key = await overlap();
      const { status, body } = await end(key.id, key.kid, '?wait=true');
      expect(status).toBe(200);
      expect(body.secrets.map(({ kid }: { kid: string }) => kid)).toEqual([key.newKid]);
      expect(await verdictOn(app, key.secret)).toBe('REVOKED');
      expect(await verdictOn(app, key.newSecret)).toBe('VALID');
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({
        action: 'api-key-secrets:delete',
        details: { endedKids: [key.kid] },
      });
    });

    it('ends the new secret and leaves the old one its time', async () => {
      const key = await overlap();
      const { body } = await end(key.id, key.newKid);
      expect(body.secrets).toMatchObject([{ kid: key.kid, expiresAt: key.endsAt }]);
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      expect(await verdictOn(app, key.newSecret)).toBe('REVOKED');
    });
  });

  describe('404', () => {
    it('names no secret that has ended, of another key, or that never was', async () => {
      const key = await overlap();
      const other = await overlap();
      await end(key.id, key.kid);
      for (const kid of [key.kid, other.kid, 'nothing', 'a'.repeat(150)]) {
        const { status, body } = await end(key.id, kid);
        expect(status).toBe(404);
        expect(body.code).toBe('SECRET_NOT_FOUND');
      }
      expect(await verdictOn(app, other.secret)).toBe('VALID');
    });
  });

  describe('409', () => {
    it('never ends the last secret', async () => {
      const key = await makeKey(app, owner.token);
      const { status, body } = await end(key.id, key.kid);
      expect(status).toBe(409);
      expect(body.code).toBe('LAST_SECRET');
      expect(await verdictOn(app, key.secret)).toBe('VALID');
    });

    it('leaves one when both are ended at once', async () => {
      const key = await overlap();
      const answers = await Promise.all([end(key.id, key.kid), end(key.id, key.newKid)]);
      expect(countByStatus(answers)).toEqual({ 200: 1, 409: 1 });
    });

    it('refuses a revoked key', async () => {
      const key = await overlap();
      await app.post(`/api-keys/${key.id}/revoke`, { token: owner.token });
      expect((await end(key.id, key.kid)).body.code).toBe('ALREADY_REVOKED');
    });
  });
});
