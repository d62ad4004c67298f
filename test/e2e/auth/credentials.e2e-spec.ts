import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { SessionCookie } from '../../../src/auth/session-cookie.js';
import { TestApp, type TestUser } from '../../support/app.js';

const PUBLIC_URL = 'https://keys.latchkey.test';

describe('the credentials of a request', () => {
  let app: TestApp;
  let user: TestUser;
  let other: TestUser;
  let key: string;
  let name: string;
  const cookie = (token: string) => ({ cookie: `theme=dark; ${name}=${token}` });

  beforeAll(async () => {
    app = await TestApp.start({ PUBLIC_URL });
    name = app.app.get(SessionCookie, { strict: false }).name;
    await app.addRole('plan', ['platform:api-keys:create'], { maxRateLimitPerMinute: 60, maxValidityDays: 30 });
    await app.addRole('more', [], { maxRateLimitPerMinute: 100 });
    [user, other] = [await app.addUser(['plan', 'more']), await app.addUser(['creator'])];
    key = (await app.post('/api-keys', { token: user.token, body: { roles: ['plan'] } })).body.secretKey;
  });
  afterAll(() => app.stop());

  describe('GET /auth/me', () => {
    it('shows user, roles, permissions and the widest key policy', async () => {
      expect(await app.get('/auth/me', { token: user.token })).toMatchObject({
        status: 200,
        body: {
          kind: 'user',
          roles: ['more', 'plan'],
          permissions: ['platform:api-keys:create'],
          keyPolicy: { maxRateLimitPerMinute: 100 },
          user: { id: user.id },
        },
      });
      expect((await app.get('/auth/me', { token: user.token })).body.keyPolicy).toEqual({ maxRateLimitPerMinute: 100 });
      expect((await app.get('/auth/me', { token: other.token })).body.keyPolicy).toBeNull();
    });

    it('shows a key what it may do itself, with the bounds of the keys that it makes', async () => {
      expect(await app.get('/auth/me', { apiKey: key })).toMatchObject({
        status: 200,
        body: {
          kind: 'key',
          permissions: ['platform:api-keys:create'],
          keyPolicy: { maxRateLimitPerMinute: 100 },
          key: { ownerId: user.id },
        },
      });
    });

    it('shows a plain key itself, and of its owner the id alone', async () => {
      const fields = { name: 'Plain', scopes: ['chat:read'], tags: ['team:a'], expiresAt: '2036-01-01T00:00:00.000Z' };
      const { apiKey, secretKey } = (await app.post('/api-keys', { token: user.token, body: fields })).body;
      const { status, body } = await app.get('/auth/me', { apiKey: secretKey as string });
      expect([status, body]).toEqual([
        200,
        {
          kind: 'key',
          user: null,
          key: { id: apiKey.id, environment: 'live', ownerId: user.id, ...fields },
          roles: [],
          permissions: [],
          keyPolicy: null,
          mustChangePassword: false,
          notices: null,
          projects: [],
          mustEnrol: false,
        },
      ]);
      expect(JSON.stringify(body)).not.toContain(user.email);
    });
  });

  describe('a session cookie', () => {
    it('reads without an origin', async () => {
      expect((await app.get('/auth/me', { headers: cookie(user.token) })).body.user.id).toBe(user.id);
    });

    it('is set with Secure where the server is reached by https', async () => {
      const { headers } = await app.post('/auth/login', { body: { email: user.email, password: user.password } });
      expect(headers.get('set-cookie')).toMatch(/; Secure/);
    });

    it.each([
      [undefined],
      ['https://evil.test'],
      ['null'],
      [`${PUBLIC_URL}.evil.test`],
      ['http://keys.latchkey.test'],
      [`${PUBLIC_URL}:8443`],
    ])('changes nothing from the origin %s', async (origin) => {
      const headers = { ...cookie(user.token), ...(origin === undefined ? {} : { origin }) };
      expect(await app.post('/api-keys', { headers })).toMatchObject({
        status: 403,
        body: { code: 'ORIGIN_NOT_ALLOWED' },
      });
      expect((await app.post('/auth/logout', { headers })).status).toBe(403);
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(200);
    });

    it('changes things from our own origin', async () => {
      expect((await app.post('/api-keys', { headers: { ...cookie(user.token), origin: PUBLIC_URL } })).status).toBe(
        201,
      );
    });

    it('gives way to a bearer token, which needs no origin', async () => {
      const both = { headers: cookie(user.token), token: other.token };
      expect((await app.get('/auth/me', both)).body.user.id).toBe(other.id);
      expect((await app.post('/api-keys', both)).status).toBe(201);
    });

    it.each(['Basic dTpw', 'Bearer', 'Bearer not.a.token', 'Digest x'])(
      'does not rescue the bad Authorization “%s”',
      async (authorization) => {
        expect((await app.get('/auth/me', { headers: { ...cookie(user.token), authorization } })).status).toBe(401);
      },
    );
  });

  describe('POST /auth/logout', () => {
    it('ends this session and no other, and takes the cookie', async () => {
      const [first, second] = [
        await app.tokenOf(user.email, user.password),
        await app.tokenOf(user.email, user.password),
      ];
      const { status, headers } = await app.post('/auth/logout', { headers: { ...cookie(first), origin: PUBLIC_URL } });
      expect(status).toBe(204);
      expect(headers.get('set-cookie')).toMatch(/^__Host-latchkey_[0-9a-f]{8}=; .*Expires=Thu, 01 Jan 1970/);
      expect((await app.get('/auth/me', { token: first })).status).toBe(401);
      expect((await app.get('/auth/me', { token: second })).status).toBe(200);
      expect((await app.post('/auth/logout', { token: first })).status).toBe(401);
    });
  });

  describe('an API key', () => {
    it('speaks as bearer token or in X-API-Key', async () => {
      expect((await app.get('/auth/me', { token: key })).body.kind).toBe('key');
      expect((await app.get('/auth/me', { apiKey: key })).body.kind).toBe('key');
    });

    it('is refused beside an Authorization, good or bad: who would have done it?', async () => {
      for (const token of [user.token, key, 'nonsense']) {
        expect(await app.get('/auth/me', { apiKey: key, token })).toMatchObject({
          status: 401,
          body: { detail: 'Present either X-API-Key or Authorization, not both.' },
        });
      }
    });

    it('speaks for itself beside a cookie, which the browser adds by itself', async () => {
      expect((await app.get('/auth/me', { apiKey: key, headers: cookie(other.token) })).body).toMatchObject({
        kind: 'key',
        user: null,
        key: { ownerId: user.id },
      });
    });

    it.each(['', 'nonsense', `${'k'.repeat(9000)}`])('is refused when it is none (%#)', async (apiKey) => {
      expect((await app.get('/auth/me', { apiKey })).status).toBe(401);
    });

    it('is refused twice in one request, even when both are the same', async () => {
      const status = await new Promise<number | undefined>((resolve, reject) => {
        const sent = request(`${app.baseUrl}/api/v1/auth/me`, { headers: { 'x-api-key': [key, key] } }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        sent.once('error', reject).end();
      });
      expect(status).toBe(401);
    });

    it('of a disabled or deleted owner is refused', async () => {
      const owner = await app.addUser(['creator']);
      const { secretKey } = (await app.post('/api-keys', { token: owner.token })).body;
      expect((await app.get('/auth/me', { apiKey: secretKey })).status).toBe(200);
      await app.patch(`/users/${owner.id}`, { token: await app.adminToken(), body: { isActive: false } });
      await app.applied();
      expect((await app.get('/auth/me', { apiKey: secretKey })).status).toBe(401);
    });
  });
});
