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
        'allowedIps',
        'name',
        'rateLimitPerMinute',
        'unknown',
      ]);
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
