import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { type IssuedKey, issueKey, issueServiceKey } from '../../support/management.js';
import { type HeaderList, askAs, portOf } from './gateway.js';

describe('ALL /ext-authz', () => {
  let app: TestApp;
  let gateway: IssuedKey;
  let key: IssuedKey;
  let admin: string;

  /**
   * As Envoy's HTTP client for ext_authz: the client's method and host, `path_prefix` and the client's path and query,
   * a length of 0, the client's `Authorization`, what `allowed_headers` let through, then `headers_to_add`.
   */
  const check = (
    method: string,
    path: string,
    options: { ask?: string | null; client?: HeaderList; allowed?: HeaderList } = {},
  ) =>
    askAs(portOf(app), method, `/api/v1/ext-authz${path}`, [
      ['Host', 'api.example.com'],
      ['Content-Length', '0'],
      ...(options.client ?? [['Authorization', `Bearer ${key.secret}`]]),
      ...(options.allowed ?? []),
      ['X-Latchkey-Gateway-Key', gateway.secret],
      ...(options.ask === null || options.ask === undefined ? [] : [['X-Latchkey-Ask', options.ask] as const]),
    ]);

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000', TRUSTED_PROXIES: '127.0.0.1' });
    admin = await app.adminToken();
    gateway = await issueServiceKey(app, admin);
    key = await issueKey(app, admin, { scopes: ['chat:write'] });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'])(
      'answers the client’s method %s',
      async (method) => {
        expect((await check(method, '/v1/chat/completions', { ask: 'scope=chat:write' })).status).toBe(200);
        expect((await check(method, '/v1/chat/completions', { ask: 'scope=chat:admin' })).status).toBe(403);
      },
    );

    it.each([
      ['nothing (path_override)', ''],
      ['a slash', '/'],
      ['a deep path', '/a/b/c.json'],
      ['two slashes', '//a'],
      ['dot segments', '/../../api/v1/api-keys'],
      ['encoded dot segments and slashes', '/%2e%2e%2fapi-keys/%2F'],
      ['a long path', `/${'a'.repeat(5000)}`],
      ['a query', '/x?scope=never&mode=nginx&cost=0&cost=1&what=ever'],
      ['unicode', '/%E2%82%AC?%F0%9F%98%80'],
      ['a semicolon', '/a;b=c'],
    ])('takes as the client’s path %s', async (_, path) => {
      const { status, headers } = await check('GET', path, { ask: 'scope=chat:write' });
      expect([status, headers['x-latchkey-key-id']]).toEqual([200, key.id]);
    });

    it('does not care whose host is asked for', async () => {
      expect((await check('GET', '/x')).headers['x-latchkey-scopes']).toBe('chat:write');
    });

    it('takes the address that Envoy appended, where it is let through', async () => {
      const bound = await issueKey(app, admin, { allowedIps: ['203.0.113.7'] });
      const client: HeaderList = [['X-API-Key', bound.secret]];
      expect(
        (await check('GET', '/x', { client, allowed: [['x-forwarded-for', '198.51.100.9,203.0.113.7']] })).status,
      ).toBe(200);
      expect(
        (await check('GET', '/x', { client, allowed: [['x-forwarded-for', '203.0.113.7,198.51.100.9']] })).headers[
          'x-latchkey-code'
        ],
      ).toBe('IP_NOT_ALLOWED');
      expect((await check('GET', '/x', { client })).headers['x-latchkey-code']).toBe('IP_NOT_ALLOWED');
    });
  });

  describe('what is asked', () => {
    it('never comes from the client’s URL', async () => {
      const bound = await issueKey(app, admin, { allowedModels: ['gpt-*'] });
      const client: HeaderList = [['X-API-Key', bound.secret]];
      expect((await check('GET', '/x?model=gpt-4o', { client })).headers['x-latchkey-code']).toBe('MODEL_NOT_ALLOWED');
      expect(
        (await check('GET', '/model=gpt-4o?model=gpt-4o', { client, ask: 'model=claude' })).headers['x-latchkey-code'],
      ).toBe('MODEL_NOT_ALLOWED');
      expect((await check('GET', '/x', { client, ask: 'model=gpt-4o' })).status).toBe(200);
    });

    it('is refused where it came twice, for one of the two is the client’s', async () => {
      const { status, problem } = await check('GET', '/x', {
        ask: 'scope=chat:write',
        allowed: [['X-Latchkey-Ask', 'cost=1']],
      });
      expect([status, problem.errors[0].path]).toEqual([400, 'X-Latchkey-Ask']);
    });

    it.each(['scopes=a', 'cost=-1', 'model=a&model=b', 'mode=nginx', 'scope=%zz%20'])(
      'is refused as 400: %s',
      async (ask) => {
        expect((await check('GET', '/x', { ask })).status).toBe(400);
      },
    );
  });

  describe('refusals', () => {
    it('are 401, 403 and 429 with their code and headers, for Envoy to copy', async () => {
      const limited = await issueKey(app, admin, { rateLimitPerMinute: 1 });
      const client: HeaderList = [['X-API-Key', limited.secret]];
      expect((await check('POST', '/x', { client: [] })).status).toBe(401);
      expect((await check('POST', '/x', { client, ask: 'scope=a' })).status).toBe(403);
      expect((await check('POST', '/x', { client })).status).toBe(200);
      const { status, headers, problem } = await check('POST', '/x', { client });
      expect([status, headers['x-latchkey-code'], problem.code]).toEqual([429, 'RATE_LIMITED', 'RATE_LIMITED']);
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    });

    it('are 400 for a key in the client’s URL, and for a URL that is none', async () => {
      expect((await check('GET', `/x?api_key=${key.secret}`)).status).toBe(400);
      expect((await check('GET', '/search?q=100%')).status).toBe(400);
    });

    it('are 401 for a caller that is no gateway, and 404 beside the route', async () => {
      const bare = await askAs(portOf(app), 'GET', '/api/v1/ext-authz/x', [['Authorization', `Bearer ${key.secret}`]]);
      expect([bare.status, bare.headers['x-latchkey-code']]).toEqual([401, 'GATEWAY_UNAUTHENTICATED']);
      expect((await check('GET', 'x')).status).toBe(404);
    });
  });
});
