import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';

describe('security headers', () => {
  let app: TestApp;
  beforeAll(async () => (app = await TestApp.start()));
  afterAll(() => app.stop());

  it.each(['/api/v1/auth/me', '/api/v1/nowhere', '/health/live'])(
    'of data at %s forbid everything a page could do, and sniffing',
    async (path) => {
      const { headers } = await app.get(`/${path}`);
      expect(headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none';base-uri 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(headers.get('cache-control')).toBe('no-store');
    },
  );

  it('let nobody keep what a caller was shown, lists included', async () => {
    const token = await app.adminToken();
    for (const path of ['/api-keys', '/users', '/auth/me', '/roles', '/usage/summary']) {
      const { status, headers } = await app.get(path, { token });
      expect([path, status, headers.get('cache-control')]).toEqual([path, 200, 'no-store']);
    }
  });

  it('with https bind the browser to it for a year, for every answer', async () => {
    const secure = await TestApp.start({ PUBLIC_URL: 'https://keys.example.com' }, app.database);
    for (const path of ['//api/v1/nowhere', '//health/live', '//docs', '//console']) {
      expect((await secure.get(path)).headers.get('strict-transport-security')).toBe(
        'max-age=31536000; includeSubDomains',
      );
    }
    await secure.stop();
  });

  it.each(['/docs', '/console', '/console/keys?x=1'])(
    'of the page at %s let in what is our own, and no frame around it',
    async (path) => {
      const { headers } = await app.get(`/${path}`);
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'self'");
      expect(policy).toMatch(/script-src 'self'(;|$)/);
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).toContain("base-uri 'none'");
      expect(policy).toContain("object-src 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-powered-by')).toBeNull();
    },
  );
});
