import { eventually } from '../../support/eventually.js';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, TestApp, type TestUser } from '../../support/app.js';
import { expire, makeKey, pathsOf, trailOf, verdictOn } from '../../support/made-keys.js';

describe('POST /api-keys/:id/regenerate', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  const regenerate = (id: string, token: string, body?: object) =>
    app.post(`/api-keys/${id}/regenerate`, { token, ...(body && { body }) });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('gives a new secret and ends the old one at once', async () => {
      const key = await makeKey(app, owner.token, { environment: 'test', rateLimitPerMinute: 7, tags: ['kept'] });
      const { status, body, headers } = await regenerate(key.id, owner.token);
      expect(status).toBe(200);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(body.secretKey).toMatch(/^lk_test_[0-9A-Za-z]{63}$/);
      expect(body.apiKey).toMatchObject({
        id: key.id,
        rateLimitPerMinute: 7,
        tags: ['kept'],
        status: 'active',
        secrets: [{ kid: expect.any(String) }],
      });
      expect(body.apiKey.secrets).toHaveLength(1);
      expect(Date.parse(body.previousSecretExpiresAt)).toBeLessThanOrEqual(Date.now());
      expect(await verdictOn(app, key.secret)).toBe('REVOKED');
      expect(await verdictOn(app, body.secretKey)).toBe('VALID');
    });

    it('lets both work for the overlap, and says until when', async () => {
      const key = await makeKey(app, owner.token);
      const { body } = await regenerate(key.id, owner.token, { overlapSeconds: 3600 });
      expect(Math.abs(Date.parse(body.previousSecretExpiresAt) - Date.now() - 3_600_000)).toBeLessThan(10_000);
      expect(body.apiKey.secrets.map(({ expiresAt }: { expiresAt: string | null }) => expiresAt)).toEqual([
        null,
        body.previousSecretExpiresAt,
      ]);
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      expect(await verdictOn(app, body.secretKey)).toBe('VALID');
    });

    it('refuses the old one when the overlap is over', async () => {
      const key = await makeKey(app, owner.token);
      const { body } = await regenerate(key.id, owner.token, { overlapSeconds: 1 });
      await eventually(async () => expect(await verdictOn(app, key.secret)).toBe('EXPIRED'));
      expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(body.previousSecretExpiresAt) - 50);
      expect(await verdictOn(app, body.secretKey)).toBe('VALID');
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).body.secrets).toHaveLength(1);
    });

    it('ends the oldest secret when it is called during an overlap', async () => {
      const key = await makeKey(app, owner.token);
      const { body: second } = await regenerate(key.id, owner.token, { overlapSeconds: 600 });
      const { body: third } = await regenerate(key.id, owner.token, { overlapSeconds: 600 });
      expect(
        await Promise.all([key.secret, second.secretKey, third.secretKey].map((secret) => verdictOn(app, secret))),
      ).toEqual(['REVOKED', 'VALID', 'VALID']);
      expect(third.apiKey.secrets).toHaveLength(2);
    });

    it('never makes an old secret work longer than it would have', async () => {
      const key = await makeKey(app, owner.token);
      const { body: second } = await regenerate(key.id, owner.token, { overlapSeconds: 60 });
      const newest = second.apiKey.secrets[0].kid;
      await app.delete(`/api-keys/${key.id}/secrets/${newest}`, { token: owner.token });
      const { body: third } = await regenerate(key.id, owner.token, { overlapSeconds: 604_800 });
      expect(third.previousSecretExpiresAt).toBe(second.previousSecretExpiresAt);
    });

    it('leaves two secrets at most, however many ask at once', async () => {
      const key = await makeKey(app, owner.token);
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => regenerate(key.id, owner.token, { overlapSeconds: 600 })),
      );
      const verdicts = await Promise.all(answers.map(({ body }) => verdictOn(app, body.secretKey)));
      expect(verdicts.filter((code) => code === 'VALID')).toHaveLength(2);
      const { body } = await app.get(`/api-keys/${key.id}`, { token: owner.token });
      expect(body.secrets).toHaveLength(2);
      expect(body.secrets[0].expiresAt).toBeNull();
    });

    it('calls the secret the newest that came last, in whatever order it was asked for', async () => {
      const key = await makeKey(app, owner.token);
      let answer: Promise<Answer> | undefined;
      await app.dataSource.transaction(async (tx) => {
        await tx.query('SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE', [owner.id]);
        answer = regenerate(key.id, owner.token, { overlapSeconds: 600 });
        await sleep(300);
        await tx.query(
          `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version, created_at)
           SELECT 'madeMeanwhile0', key_id, kind, key_prefix, mac, pepper_version, clock_timestamp() FROM api_key_secret WHERE kid = $1`,
          [key.kid],
        );
      });
      const { body } = await answer!;
      expect(body.apiKey.secrets).toMatchObject([
        { expiresAt: null },
        { kid: 'madeMeanwhile0', expiresAt: body.previousSecretExpiresAt },
      ]);
      expect(await verdictOn(app, key.secret)).toBe('REVOKED');
    });

    it.each([
      ['inactive', (id: string) => app.post(`/api-keys/${id}/deactivate`, { token: owner.token })],
      ['expired', (id: string) => expire(app, id)],
    ])('leaves an %s key so', async (state, change) => {
      const key = await makeKey(app, owner.token);
      await change(key.id);
      expect((await regenerate(key.id, owner.token)).body.apiKey.status).toBe(state);
    });

    it('names the secrets in the trail, and shows none', async () => {
      const key = await makeKey(app, owner.token);
      const { body } = await regenerate(key.id, owner.token, { overlapSeconds: 60 });
      const [, entry] = await trailOf(app, key.id);
      expect(entry).toMatchObject({
        action: 'api-keys:regenerate',
        details: {
          kid: body.apiKey.secrets[0].kid,
          previousKid: key.kid,
          overlapSeconds: 60,
          previousSecretExpiresAt: body.previousSecretExpiresAt,
          endedKids: [],
        },
      });
      const [{ text }] = await app.dataSource.query<[{ text: string }]>(
        `SELECT string_agg(body, '') AS text FROM audit_event`,
      );
      expect(text).not.toContain(body.secretKey.slice(-49));
    });

    it('lets a manager of a service account rotate its keys', async () => {
      const manager = await app.addUser(['user']);
      const service = await app.addUser(['gateway'], { kind: 'service', managerIds: [manager.id] });
      const key = await makeKey(app, admin, { ownerId: service.id, roles: ['gateway'] });
      expect((await regenerate(key.id, manager.token)).status).toBe(200);
    });
  });

  describe('400', () => {
    it.each([[-1], [604_801], [1.5], ['60'], [null]])('refuses an overlap of %p', async (overlapSeconds) => {
      const key = await makeKey(app, owner.token);
      const answer = await regenerate(key.id, owner.token, { overlapSeconds });
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['overlapSeconds']);
      expect(await verdictOn(app, key.secret)).toBe('VALID');
    });
  });

  describe('403', () => {
    it('refuses who is not the owner and does not hold all that the key may do', async () => {
      await app.addRole('rotator', ['platform:api-keys:update']);
      const helpdesk = await app.addUser(['rotator']);
      const service = await app.addUser(['gateway']);
      const key = await makeKey(app, admin, { ownerId: service.id, roles: ['gateway'] });
      const { status, body } = await regenerate(key.id, helpdesk.token);
      expect(status).toBe(403);
      expect(body).toMatchObject({
        code: 'CANNOT_GRANT',
        grants: ['platform:api-keys:verify', 'platform:usage:report'],
      });
      expect(await verdictOn(app, key.secret)).toBe('VALID');
    });
  });

  describe('404', () => {
    it('is the answer to a key that asks for itself', async () => {
      const key = await makeKey(app, owner.token);
      expect((await app.post(`/api-keys/${key.id}/regenerate`, { apiKey: key.secret })).status).toBe(404);
    });
  });

  describe('409', () => {
    it('refuses a revoked key', async () => {
      const key = await makeKey(app, owner.token);
      const { body: revoked } = await app.post(`/api-keys/${key.id}/revoke`, { token: owner.token });
      expect((await regenerate(key.id, owner.token)).body).toMatchObject({
        code: 'ALREADY_REVOKED',
        revokedAt: revoked.revokedAt,
      });
    });
  });
});
