import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';

describe('POST /api-keys', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  describe('201', () => {
    it('makes a key with defaults from an absent body', async () => {
      const { status, body, headers } = await app.post('/api-keys', { token: admin });
      expect(status).toBe(201);
      expect(body.apiKey).toMatchObject({
        name: 'Default API Key',
        status: 'active',
        isUnlimited: true,
        environment: 'live',
      });
      expect(body.secretKey).toMatch(/^lk_live_[0-9A-Za-z]{63}$/);
      expect(headers.get('cache-control')).toBe('no-store');
    });

    it('makes a key whose secret verifies', async () => {
      const { body } = await app.post('/api-keys', {
        token: admin,
        body: { name: ' Billing ', scopes: ['chat:write'] },
      });
      const verdict = await app.post('/verify', {
        token: admin,
        body: { key: body.secretKey, scopes: ['chat:write'] },
      });
      expect(body.apiKey.name).toBe('Billing');
      expect(verdict.body).toMatchObject({ valid: true, code: 'VALID', keyId: body.apiKey.id });
    });
  });

  describe('400', () => {
    it('names every wrong field', async () => {
      const { status, body } = await app.post('/api-keys', {
        token: admin,
        body: { name: '  ', rateLimitPerMinute: 1.5, allowedIps: ['010.0.0.1'], unknown: 1 },
      });
      expect(status).toBe(400);
      expect(body).toMatchObject({ code: 'VALIDATION_FAILED', requestId: expect.any(String) });
      expect(body.errors.map((error: { path: string }) => error.path).sort()).toEqual([
        'allowedIps.0',
        'name',
        'rateLimitPerMinute',
        'unknown',
      ]);
    });

    it('says one sentence of each, the type first, and names the entry of a list', async () => {
      const allowedIps = ['10.0.0.0/8', '192.168.1.7/24'];
      const { body } = await app.post('/api-keys', {
        token: admin,
        body: { rateLimitPerMinute: '60', rateLimitPerHour: 0, scopes: 'chat', tags: ['a', 'a'], allowedIps },
      });
      expect(body.errors).toEqual(
        expect.arrayContaining([
          { path: 'rateLimitPerMinute', message: 'must be a whole number' },
          { path: 'rateLimitPerHour', message: 'must be from 1 to 100000' },
          { path: 'scopes', message: 'must be a list' },
          { path: 'tags.1', message: 'must not be listed twice' },
          { path: 'allowedIps.1', message: 'has host bits; 192.168.1.0/24?' },
        ]),
      );
      expect(body.errors).toHaveLength(5);
    });

    it.each([
      ['Python', '2030-01-01T00:00:00+00:00', '2030-01-01T00:00:00.000Z'],
      ['.NET', '2030-01-01T00:00:00.1234567Z', '2030-01-01T00:00:00.123Z'],
      ['Go', '2030-01-01T05:30:00.123456789+05:30', '2030-01-01T00:00:00.123Z'],
    ])('takes an instant as %s writes it', async (_, expiresAt, instant) => {
      const { status, body } = await app.post('/api-keys', { token: admin, body: { expiresAt } });
      expect([status, body.apiKey.expiresAt]).toEqual([201, instant]);
      const before = encodeURIComponent(expiresAt);
      expect((await app.get(`/api-keys?expiresBefore=${before}`, { token: admin })).status).toBe(200);
      expect((await app.get(`/audit-events?from=${before}`, { token: admin })).status).toBe(200);
    });
  });

  describe('401', () => {
    it('asks for credentials before it looks at the body', async () => {
      const { status, headers } = await app.post('/api-keys', { body: { name: '' } });
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toBe('Bearer realm="latchkey"');
    });
  });

  describe('403', () => {
    it('names the missing permission', async () => {
      const user = await app.addUser(['user']);
      const { status, body } = await app.post('/api-keys', { token: user.token });
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'PERMISSION_DENIED', permission: 'platform:api-keys:create' });
    });
  });

  describe('409', () => {
    it('refuses an alias that another key of the owner has', async () => {
      await app.post('/api-keys', { token: admin, body: { alias: 'twice' } });
      const { status, body } = await app.post('/api-keys', { token: admin, body: { alias: 'twice' } });
      expect(status).toBe(409);
      expect(body.code).toBe('ALIAS_TAKEN');
    });
  });

  describe('429', () => {
    it('never passes the cap, however many creates run at once', async () => {
      const user = await app.addUser(['creator'], { maxActiveKeys: 3 });
      const answers = await Promise.all(Array.from({ length: 20 }, () => app.post('/api-keys', { token: user.token })));
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
      expect(answers.find(({ status }) => status === 429)?.body).toMatchObject({
        code: 'API_KEY_LIMIT_REACHED',
        maxActiveKeys: 3,
      });
    });
  });
});
