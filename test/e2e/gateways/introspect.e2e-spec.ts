import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import jwt from 'jsonwebtoken';
import * as oauth from 'oauth4webapi';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { type IssuedKey, Management, issueKey, issueServiceKey } from '../../support/management.js';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const INACTIVE = { active: false };

describe('POST /introspect', () => {
  let app: TestApp;
  let admin: string;
  let service: IssuedKey;
  let management: Management;
  const post = (rawBody: string, headers: Record<string, string> = FORM, apiKey: string | undefined = service.secret) =>
    app.post('/introspect', { rawBody, headers, ...(apiKey === undefined ? {} : { apiKey }) });
  const introspect = async (token: string) => (await post(new URLSearchParams({ token }).toString())).body;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    service = await issueServiceKey(app, admin);
    management = new Management(app);
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('knows no key of an environment that the service does not verify', async () => {
      const own = await issueKey(app, admin, { roles: ['gateway'], verifiesEnvironment: 'test' });
      const live = await issueKey(app, admin);
      const answer = await app.post('/introspect', {
        apiKey: own.secret,
        rawBody: `token=${live.secret}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      });
      expect([answer.status, answer.body]).toEqual([200, { active: false }]);
    });

    it('says of a key what it is, in the words of RFC 7662 and some of ours', async () => {
      const before = Math.floor(Date.now() / 1000) - 2;
      const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
      const fields = {
        name: 'Billing',
        scopes: ['chat:read', 'chat:write'],
        tags: ['team:a'],
        metadata: { team: 'ä"\n' },
        allowedModels: ['gpt-*'],
        allowedChatbots: ['support'],
        allowedIps: ['203.0.113.0/24'],
      };
      const key = await issueKey(app, admin, { ...fields, expiresAt });
      const { status, headers, body } = await post(`token=${key.secret}&token_type_hint=access_token`);
      expect(status).toBe(200);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('content-type')).toMatch(/^application\/json/);
      const me = (await app.get('/auth/me', { token: admin })).body.user.id as string;
      expect(body).toEqual({
        active: true,
        scope: 'chat:read chat:write',
        client_id: key.id,
        sub: me,
        exp: Math.floor(Date.parse(expiresAt) / 1000),
        iat: expect.any(Number),
        token_type: 'Bearer',
        iss: app.config.jwtIssuer,
        name: 'Billing',
        key_id: key.id,
        kid: key.secret.slice('lk_live_'.length, 'lk_live_'.length + 14),
        environment: 'live',
        roles: [],
        tags: ['team:a'],
        models: ['gpt-*'],
        chatbots: ['support'],
        ips: ['203.0.113.0/24'],
        metadata: { team: 'ä"\n' },
      });
      expect(body.iat).toBeGreaterThanOrEqual(before);
      expect(body.iat).toBeLessThanOrEqual(Date.now() / 1000 + 2);
    });

    it('leaves exp out of a key that does not end, and takes the nearer end of a secret in an overlap', async () => {
      const endless = await issueKey(app, admin);
      expect(await introspect(endless.secret)).not.toHaveProperty('exp');
      const rotated = await app.post(`/api-keys/${endless.id}/regenerate`, {
        token: admin,
        body: { overlapSeconds: 600 },
      });
      await app.applied();
      const { active, exp } = await introspect(endless.secret);
      expect(active).toBe(true);
      expect(exp).toBe(Math.floor(Date.parse(rotated.body.previousSecretExpiresAt as string) / 1000));
      expect(await introspect(rotated.body.secretKey as string)).not.toHaveProperty('exp');
    });

    it('answers for a session token, until the session ends', async () => {
      const user = await app.addUser(['creator']);
      const { exp, iat } = jwt.decode(user.token) as { exp: number; iat: number };
      expect(await introspect(user.token)).toEqual({
        active: true,
        scope: 'platform:api-keys:create',
        client_id: app.config.jwtAudience,
        sub: user.id,
        exp,
        iat,
        token_type: 'Bearer',
        iss: app.config.jwtIssuer,
        name: `User ${user.email}`,
        roles: ['creator'],
      });
      await app.post('/auth/logout', { token: user.token });
      expect(await introspect(user.token)).toEqual(INACTIVE);
    });

    it('says of a session token of a disabled user that it is inactive', async () => {
      const user = await app.addUser(['creator']);
      await management.disableOwner(user.id);
      expect(await introspect(user.token)).toEqual(INACTIVE);
    });

    it.each([
      [
        'signed by another service',
        () =>
          jwt.sign({ sid: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55' }, 'x'.repeat(40), {
            subject: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55',
            issuer: 'latchkey',
            audience: 'latchkey',
            expiresIn: 60,
          }),
      ],
      ['without a signature', () => jwt.sign({ sub: 'x' }, '', { algorithm: 'none' })],
      ['that is none', () => 'a.b.c'],
      ['of nothing', () => '..'],
    ])('says {"active": false} of a token %s', async (_, make) => {
      expect(await introspect(make())).toEqual(INACTIVE);
    });

    it.each([
      'nonsense',
      'lk_live_short',
      `lk_live_${'a'.repeat(63)}`,
      'some-other-systems-key-0123456789',
      'é'.repeat(50),
      'a'.repeat(8000),
    ])('says {"active": false} of %s', async (token) => {
      expect(await introspect(token)).toEqual(INACTIVE);
    });

    it.each([
      ['revoked', (id: string) => management.revoke(id)],
      ['deactivated', (id: string) => management.deactivate(id)],
      ['expired', (id: string) => management.expire(id)],
    ])('says {"active": false} and no word more of a key that is %s', async (_, change) => {
      const key = await issueKey(app, admin);
      expect((await introspect(key.secret)).active).toBe(true);
      await change(key.id);
      await eventually(async () => expect(await introspect(key.secret)).toEqual(INACTIVE));
    });

    it('says {"active": false} of a key whose owner is disabled', async () => {
      const owner = await app.addUser(['creator']);
      const key = await issueKey(app, admin, { ownerId: owner.id });
      expect((await introspect(key.secret)).active).toBe(true);
      await management.disableOwner(owner.id);
      await eventually(async () => expect(await introspect(key.secret)).toEqual(INACTIVE));
    });

    it('consumes nothing: no window, no budget, no use', async () => {
      const key = await issueKey(app, admin, { rateLimitPerMinute: 2, budgetLimitCents: 1 });
      for (let call = 0; call < 5; call += 1) expect((await introspect(key.secret)).active).toBe(true);
      const verify = () => app.post('/verify', { apiKey: service.secret, body: { key: key.secret } });
      expect((await app.get(`/api-keys/${key.id}`, { token: admin })).body.lastUsedAt).toBeNull();
      expect((await verify()).body.code).toBe('VALID');
      expect((await verify()).body.code).toBe('VALID');
      expect((await verify()).body.code).toBe('RATE_LIMITED');
      // What it says does not hang on what is left.
      expect((await introspect(key.secret)).active).toBe(true);
    });

    it('takes parameters it does not know, and a charset, as OAuth asks', async () => {
      const key = await issueKey(app, admin);
      const { status, body } = await post(`client_id=x&token=${key.secret}&token_type_hint=who-knows&`, {
        'content-type': 'application/x-www-form-urlencoded; charset=UTF-8',
      });
      expect([status, body.active]).toEqual([200, true]);
    });
  });

  describe('with the credentials of an OAuth client', () => {
    /** Any name: the secret says whose it is. */
    const CLIENT = 'resource server: 1';
    const basic = (secret: string, name = CLIENT) =>
      `Basic ${Buffer.from(`${encodeURIComponent(name)}:${encodeURIComponent(secret)}`).toString('base64')}`;
    const ask = async (form: Record<string, string>, headers: Record<string, string> = {}) =>
      app.post('/introspect', { rawBody: new URLSearchParams(form).toString(), headers: { ...FORM, ...headers } });

    /** As a resource server asks that is made with a library for any authorisation server. */
    async function byLibrary(auth: oauth.ClientAuth, token: string): Promise<oauth.IntrospectionResponse> {
      const server = { issuer: app.config.jwtIssuer, introspection_endpoint: `${app.baseUrl}/api/v1/introspect` };
      const client = { client_id: CLIENT };
      const options = { [oauth.allowInsecureRequests]: true };
      const answer = await oauth.introspectionRequest(server, client, auth, token, options);
      return oauth.processIntrospectionResponse(server, client, answer);
    }

    it.each([
      ['HTTP Basic', oauth.ClientSecretBasic],
      ['client_id and client_secret in the form', oauth.ClientSecretPost],
    ])('answers a stock resource server that uses %s', async (_, authentication) => {
      const key = await issueKey(app, admin, { scopes: ['chat:read'] });
      const auth = authentication(service.secret);
      expect(await byLibrary(auth, key.secret)).toMatchObject({ active: true, scope: 'chat:read', client_id: key.id });
      expect(await byLibrary(auth, 'made-up')).toEqual(INACTIVE);
      await expect(byLibrary(authentication('made-up'), key.secret)).rejects.toThrow();
    });

    it('takes a secret that needs percent-encoding in Basic, encoded or as it is', async () => {
      const secret = `imported+secret/${Math.random().toString(36).slice(2)}0123456789abcdef=`;
      const sha256 = createHash('sha256').update(secret).digest('hex');
      const { id: ownerId } = (await app.get('/auth/me', { token: admin })).body.user as { id: string };
      const entry = { sha256, prefix: 'imported', name: 'Imported service', ownerId, roles: ['gateway'] };
      const imported = await app.post('/api-keys/import', { token: admin, body: { keys: [entry] } });
      expect(imported.body.results[0].outcome).toBe('created');
      await app.applied();
      for (const authorization of [basic(secret), `Basic ${Buffer.from(`x:${secret}`).toString('base64')}`])
        expect((await ask({ token: 'x' }, { authorization })).status).toBe(200);
    });

    it('refuses a secret that is none with the scheme that was tried', async () => {
      for (const authorization of [basic('made-up'), 'Basic !', 'Basic bm8tY29sb24=', 'Basic eDolenp6']) {
        const { status, headers } = await ask({ token: 'x' }, { authorization });
        expect([status, headers.get('www-authenticate')]).toEqual([401, 'Basic realm="latchkey", charset="UTF-8"']);
      }
      const { status, headers } = await ask({ token: 'x', client_id: 'x', client_secret: 'made-up' });
      expect([status, headers.get('www-authenticate')]).toEqual([401, expect.stringMatching(/^Bearer/)]);
      expect((await ask({ token: 'x', client_id: CLIENT })).status).toBe(401);
    });

    it('refuses two ways at once with 400, good or bad', async () => {
      const form = { token: 'x', client_id: 'x', client_secret: service.secret };
      const two = [
        await ask(form, { authorization: basic(service.secret) }),
        await ask(form, { authorization: `Bearer ${service.secret}` }),
        await ask(form, { 'x-api-key': service.secret }),
        await ask({ token: 'x' }, { 'x-api-key': service.secret, authorization: basic('made-up') }),
      ];
      expect(two.map(({ status, body }) => [status, body.code])).toEqual(two.map(() => [400, 'VALIDATION_FAILED']));
    });

    it('asks for the same permission, and is taken nowhere else', async () => {
      const plain = await issueKey(app, admin);
      expect((await ask({ token: 'x' }, { authorization: basic(plain.secret) })).body.permission).toBe(
        'platform:api-keys:verify',
      );
      const authorization = basic(service.secret);
      const elsewhere = await app.post('/verify', { body: { key: 'x' }, headers: { authorization } });
      expect([elsewhere.status, elsewhere.headers.get('www-authenticate')]).toEqual([
        401,
        expect.stringMatching(/^Bearer/),
      ]);
    });
  });

  describe('400', () => {
    it.each([
      ['', 'token'],
      ['token=', 'token'],
      ['token_type_hint=x', 'token'],
      ['token=a&token=b', 'token'],
      ['token=%zz', ''],
    ])('is the answer to the form %j', async (form, path) => {
      const { status, body } = await post(form);
      expect([status, body.code, body.errors[0].path]).toEqual([400, 'VALIDATION_FAILED', path]);
    });

    it('is the answer to a token in the URL', async () => {
      const { status } = await app.post(`/introspect?token=${service.secret}`, {
        apiKey: service.secret,
        rawBody: 'token=x',
        headers: FORM,
      });
      expect(status).toBe(400);
    });
  });

  describe('401', () => {
    it('comes before the form is looked at', async () => {
      const { status, headers } = await app.post('/introspect', { rawBody: 'token=a&token=b', headers: FORM });
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toMatch(/^Bearer/);
    });
  });

  describe('403', () => {
    it('names the permission a key lacks', async () => {
      const key = await issueKey(app, admin);
      const { status, body } = await post('token=x', FORM, key.secret);
      expect([status, body.permission]).toEqual([403, 'platform:api-keys:verify']);
    });
  });

  describe('413', () => {
    it('is the answer to a form above 64 KiB', async () => {
      expect((await post(`token=${'a'.repeat(70_000)}`)).status).toBe(413);
    });
  });

  describe('415', () => {
    it('is the answer to JSON and to text here, and to forms everywhere else', async () => {
      expect((await app.post('/introspect', { apiKey: service.secret, body: { token: 'x' } })).status).toBe(415);
      expect((await post('token=x', { 'content-type': 'text/plain' })).status).toBe(415);
      const elsewhere = await app.post('/verify', { apiKey: service.secret, rawBody: 'key=x', headers: FORM });
      expect([elsewhere.status, elsewhere.body.detail]).toEqual([415, 'Send the body as application/json.']);
    });
  });
});
