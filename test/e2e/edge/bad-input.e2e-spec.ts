import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { type Answer, TestApp } from '../../support/app.js';
import { rawRequest, sendRaw } from '../../support/raw-http.js';

const KEY_SHAPED = `lk_live_4fT9aZq01LmXyB${'0'.repeat(49)}`;
const JSON_TYPE = { 'content-type': 'application/json' };

describe('bad input', () => {
  let app: TestApp;
  let admin: string;
  let port: number;
  let before: unknown;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    port = Number(new URL(app.baseUrl).port);
  });
  afterAll(() => app.stop());
  beforeEach(async () => {
    before = await counts();
  });
  afterEach(async () => {
    expect(await counts()).toEqual(before);
  });

  const counts = () =>
    app.dataSource.query<unknown[]>(
      `SELECT (SELECT count(*) FROM api_key) AS keys, (SELECT count(*) FROM api_key_secret) AS secrets, (SELECT count(*) FROM audit_event WHERE outcome = 'success' AND action = 'api-keys:create') AS audited`,
    );
  const create = (rawBody: string, headers: Record<string, string> = JSON_TYPE) =>
    app.post('/api-keys', { token: admin, rawBody, headers });
  const raw = (method: string, target: string, headers: string[] = [], body = '') =>
    sendRaw(port, rawRequest(method, target, headers, body));

  function expectProblem(
    answer: { status: number; body: Answer['body']; headers: Headers | Record<string, string> },
    status: number,
    code: string,
    path?: string,
  ): void {
    const header = (name: string) =>
      answer.headers instanceof Headers ? answer.headers.get(name) : answer.headers[name];
    expect([answer.status, answer.body]).toEqual([
      status,
      expect.objectContaining({
        status,
        code,
        type: 'about:blank',
        title: expect.any(String),
        detail: expect.any(String),
      }),
    ]);
    expect(header('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(header('x-request-id')).toBe(answer.body.requestId);
    if (path !== undefined) expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path);
  }

  describe('400: values of the wrong kind, by field', () => {
    it.each([
      ['name', { name: ['a'] }],
      ['name', { name: null }],
      ['name', { name: 'x'.repeat(101) }],
      ['name', { name: '\u200b' }],
      ['name', { name: 'a\nb' }],
      ['name', { name: 'a\u2028b' }],
      ['name.toString', { name: { toString: 'x' } }],
      ['description', { description: 7 }],
      ['rateLimitPerMinute', { rateLimitPerMinute: -1 }],
      ['rateLimitPerMinute', { rateLimitPerMinute: 0 }],
      ['rateLimitPerMinute', { rateLimitPerMinute: 1.5 }],
      ['rateLimitPerMinute', { rateLimitPerMinute: '60' }],
      ['rateLimitPerMinute', { rateLimitPerMinute: [60] }],
      ['rateLimitPerHour', { rateLimitPerHour: 100_001 }],
      ['rateLimitPerDay', { rateLimitPerDay: true }],
      ['budgetLimitCents', { budgetLimitCents: -0.5 }],
      ['budgetLimitCents', { budgetLimitCents: 1e-7 }],
      ['budgetLimitCents', { budgetLimitCents: 1e300 }],
      ['isUnlimited', { isUnlimited: true, budgetLimitCents: 5 }],
      ['budgetLimitCents', { isUnlimited: false }],
      ['budgetType', { budgetType: 'monthly' }],
      ['budgetType', { budgetLimitCents: 5, budgetType: 'weekly' }],
      ['expiresAt', { expiresAt: '2020-01-01T00:00:00Z' }],
      ['expiresAt', { expiresAt: '2027-02-30T00:00:00Z' }],
      ['expiresAt', { expiresAt: 1_900_000_000 }],
      ['validityDays', { validityDays: 0 }],
      ['allowedIps', { allowedIps: '10.0.0.0/8' }],
      ['allowedIps.0', { allowedIps: ['1.2.3'] }],
      ['allowedIps.0', { allowedIps: ['010.0.0.1'] }],
      ['allowedIps.0', { allowedIps: ['::/129'] }],
      ['allowedIps.0', { allowedIps: ['10.0.0.1/8'] }],
      ['allowedIps.1', { allowedIps: ['10.0.0.1', '10.0.0.1/32'] }],
      ['allowedModels.1', { allowedModels: ['a', 'a'] }],
      ['allowedModels.0', { allowedModels: [{}] }],
      ['tags.0', { tags: ['a b'] }],
      ['tags', { tags: Array.from({ length: 51 }, (_, index) => `t${index}`) }],
      ['scopes', { scopes: { 0: 'a', length: 1 } }],
      ['metadata', { metadata: { a: 1 } }],
      ['metadata', { metadata: { a: { b: 'c' } } }],
      ['metadata', { metadata: ['a'] }],
      ['metadata', { metadata: { a: 'x'.repeat(5000) } }],
      ['alias', { alias: 'with space' }],
      ['environment', { environment: 'prod' }],
      ['ownerId', { ownerId: 'me' }],
      ['ownerId', { ownerId: '00000000-0000-7000-8000-000000000000' }],
      ['roles', { roles: ['no-such-role'] }],
      ['id', { id: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55' }],
      ['isActive', { isActive: false }],
      ['totalRequests', { totalRequests: 0 }],
      ['toString', { toString: 'x' }],
      ['hasOwnProperty', { hasOwnProperty: 'x' }],
    ])('names %s in %j', async (path, body) => {
      expectProblem(await create(JSON.stringify(body)), 400, 'VALIDATION_FAILED', path);
    });
  });

  describe('400: bodies that are no JSON, or could be read in two ways', () => {
    it.each([
      ['half of it', '{"name":"x"'],
      ['text after it', '{"name":"x"} {"name":"y"}'],
      ['NaN', '{"rateLimitPerMinute":NaN}'],
      ['two byte order marks', '\ufeff\ufeff{"name":"x"}'],
      ['a comment', '{"name":"x"/* */}'],
      ['nothing but blanks', '   '],
      ['a name given twice', '{"name":"x","name":"y"}'],
      ['a name given twice, once escaped', '{"name":"x","\\u006eame":"y"}'],
      ['a prototype', '{"name":"x","__proto__":{"isAdmin":true}}'],
      ['a prototype, escaped', '{"\\u005f\\u005fproto\\u005f\\u005f":{}}'],
      ['a constructor', '{"metadata":{"constructor":{"prototype":{"a":"b"}}}}'],
      ['NUL', '{"name":"a\\u0000b"}'],
      ['half a surrogate pair', '{"name":"\\ud800"}'],
      ['half a surrogate pair in a name', '{"\\udfff":1}'],
      ['lists of depth 1 000', `{"metadata":${'['.repeat(1000)}${']'.repeat(1000)}}`],
      ['objects of depth 1 000', `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`],
    ])('%s', async (_, body) => {
      expectProblem(await create(body), 400, 'VALIDATION_FAILED');
    });

    it.each(['null', '[]', '"text"', '7', 'true', '[{"name":"x"}]'])('%s, where an object belongs', async (body) => {
      const answer = await create(body);
      expect([answer.status, answer.body.code]).toEqual([400, 'VALIDATION_FAILED']);
    });

    it('bytes that are no UTF-8', async () => {
      const body = Buffer.from('7b226e616d65223a22ff227d', 'hex');
      const head = rawRequest('POST', '/api/v1/api-keys', [
        `Authorization: Bearer ${admin}`,
        'Content-Type: application/json',
        `Content-Length: ${body.length}`,
      ]).replace('Content-Length: 0\r\n', '');
      expectProblem(await sendRaw(port, Buffer.concat([Buffer.from(head), body])), 400, 'VALIDATION_FAILED');
    });

    it('asks for credentials first, whatever the body', async () => {
      for (const rawBody of ['{', '{"a":1,"a":1}', '"\\u0000"'])
        expect((await app.post('/api-keys', { rawBody, headers: JSON_TYPE })).status).toBe(401);
      expect((await app.post('/api-keys', { rawBody: 'x', headers: { 'content-type': 'text/plain' } })).status).toBe(
        401,
      );
    });
  });

  describe('413', () => {
    it('refuses a body of 1 MB, announced or not', async () => {
      expectProblem(await create(JSON.stringify({ description: 'x'.repeat(1_000_000) })), 413, 'BODY_TOO_LARGE');
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
      const head = rawRequest('POST', '/api/v1/api-keys', [
        `Authorization: Bearer ${admin}`,
        'Content-Type: application/json',
        'Transfer-Encoding: chunked',
      ]).replace('Content-Length: 0\r\n', '');
      expectProblem(await sendRaw(port, `${head}${chunk}${chunk}0\r\n\r\n`), 413, 'BODY_TOO_LARGE');
    });

    it('takes a body just below 64 KiB to the validators', async () => {
      expectProblem(
        await create(JSON.stringify({ description: 'x'.repeat(65_000) })),
        400,
        'VALIDATION_FAILED',
        'description',
      );
    });
  });

  describe('415', () => {
    it.each([
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/xml',
      'application/jsonp',
      'nonsense',
      'application/json, text/plain',
    ])('refuses %s', async (type) => {
      expectProblem(await create('{"name":"x"}', { 'content-type': type }), 415, 'UNSUPPORTED_MEDIA_TYPE');
    });

    it('refuses a body without a content type', async () => {
      expectProblem(
        await raw('POST', '/api/v1/api-keys', [`Authorization: Bearer ${admin}`], '{"name":"x"}'),
        415,
        'UNSUPPORTED_MEDIA_TYPE',
      );
    });

    it.each(['br', 'deflate', 'gzip, gzip'])('refuses the content encoding %s', async (encoding) => {
      const body = gzipSync('{"name":"x"}').toString('latin1');
      expectProblem(
        await raw(
          'POST',
          '/api/v1/api-keys',
          [`Authorization: Bearer ${admin}`, 'Content-Type: application/json', `Content-Encoding: ${encoding}`],
          body,
        ),
        415,
        'UNSUPPORTED_MEDIA_TYPE',
      );
    });
  });

  describe('ids and paths', () => {
    it.each([
      '1',
      'me',
      '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e5',
      '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55%20',
      '..%2f..',
      "'%20OR%201=1--",
      '%F0%9F%98%80',
      '{id}',
      '019a8b5e1c7a7cc3b4a13a7c2f1d9e55',
    ])('400: %s is no id of a key', async (id) => {
      expectProblem(await app.get(`/api-keys/${id}`, { token: admin }), 400, 'INVALID_KEY_ID', 'id');
    });

    it.each([
      '/%zz',
      '/api/v1/api-keys/%',
      '/api/v1/api-keys/%c0%af',
      '/api/v1/auth/me?x=%zz',
      '/api/v1/api-keys/a%00b',
      '/api/v1/auth/me?x=%00',
      '/api/v1/auth/me?%ff=1',
    ])('400: %s is no URL', async (target) => {
      expectProblem(await raw('GET', target, [`Authorization: Bearer ${admin}`]), 400, 'VALIDATION_FAILED');
    });

    it.each([
      '/docs/../package.json',
      '/docs/%2e%2e/%2e%2e/x',
      '/docs/..%5c..%5cx',
      '/console/assets/../../package.json',
    ])('404: %s leads out of a folder of files', async (path) =>
      expectProblem(await raw('GET', path), 404, 'ROUTE_NOT_FOUND'),
    );

    it('404: a path that nobody knows, and a part of it that is too long', async () => {
      expectProblem(await app.get('/nothing?x=1', { token: admin }), 404, 'ROUTE_NOT_FOUND');
      expectProblem(await app.get('//'), 404, 'ROUTE_NOT_FOUND');
      const answer = await app.get(`/api-keys/${'a'.repeat(5000)}`, { token: admin });
      expect([400, 404]).toContain(answer.status);
      expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'));
    });

    it.each(['PUT', 'OPTIONS', 'TRACE', 'PROPFIND', 'SEARCH', 'DELETE'])(
      '405: the method %s on a known path, with those it takes',
      async (method) => {
        const answer = await raw(method, '/api/v1/auth/me', [`Authorization: Bearer ${admin}`]);
        expectProblem(answer, 405, 'METHOD_NOT_ALLOWED');
        expect([answer.headers['allow'], answer.body.allow]).toEqual(['GET, HEAD', ['GET', 'HEAD']]);
      },
    );

    it.each([
      ['GET', '/api/v1/verify', 'POST'],
      ['POST', `/api/v1/api-keys/${'0'.repeat(36)}`, 'DELETE, GET, HEAD, PATCH, PUT'],
      ['GET', '/api/v1/api-keys/by-alias/nightly?ownerId=x', 'PUT'],
      // A part of a path that is a name of ours and could be an id: the router would take both.
      ['POST', '/api/v1/api-keys/facets', 'DELETE, GET, HEAD, PATCH, PUT'],
      ['POST', '/health', 'GET, HEAD'],
      ['POST', '/console/keys/new', 'GET, HEAD'],
      ['PROPFIND', '/docs-json', 'GET, HEAD'],
    ])('405: %s %s takes %s', async (method, path, allow) => {
      const answer = await raw(method, path);
      expectProblem(answer, 405, 'METHOD_NOT_ALLOWED');
      expect(answer.headers['allow']).toBe(allow);
    });

    it('HEAD answers as GET, without a body', async () => {
      const answer = await raw('HEAD', '/api/v1/auth/me', [`Authorization: Bearer ${admin}`]);
      expect([answer.status, answer.body]).toEqual([200, '']);
      expect((await raw('HEAD', '/api/v1/auth/me')).status).toBe(401);
    });

    it('an error never repeats the URL', async () => {
      const answer = await app.get('/nothing/marker-in-path?q=marker-in-query', { token: admin });
      expect(JSON.stringify(answer.body)).not.toContain('marker');
    });
  });

  describe('400: a key in a URL', () => {
    it.each([
      ['in a query', `/api/v1/auth/me?key=${KEY_SHAPED}`],
      ['in a path', `/api/v1/api-keys/${KEY_SHAPED}`],
      ['in a path nobody knows', `/x/${KEY_SHAPED}`],
      [
        'encoded',
        `/api/v1/auth/me?key=${[...KEY_SHAPED].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')}`,
      ],
      ['encoded twice', `/api/v1/auth/me?key=${KEY_SHAPED.replaceAll('_', '%255f')}`],
      ['without its last characters', `/api/v1/auth/me?key=${KEY_SHAPED.slice(0, -6)}`],
      ['of another prefix', `/api/v1/auth/me?key=${KEY_SHAPED.replace('lk', 'acme')}`],
      ['at a public route', `/health/live?${KEY_SHAPED}`],
      ['at the documents', `/docs?key=${KEY_SHAPED}`],
    ])('%s', async (_, target) => {
      const answer = await raw('GET', target, [`Authorization: Bearer ${admin}`]);
      expectProblem(answer, 400, 'VALIDATION_FAILED', 'url');
      expect(JSON.stringify(answer.body)).not.toContain(KEY_SHAPED.slice(8));
    });

    it('but its public prefix may be searched for', async () => {
      expect((await app.get(`/auth/me?search=${KEY_SHAPED.slice(0, 22)}`, { token: admin })).status).not.toBe(400);
    });
  });

  describe('requests that are none', () => {
    it.each([
      ['no HTTP', 'hello\r\n\r\n', 400, 'VALIDATION_FAILED'],
      ['a method that is none', 'GE(T / HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'VALIDATION_FAILED'],
      ['a version that is none', 'GET / HTTP/9.9\r\nHost: x\r\n\r\n', 400, 'VALIDATION_FAILED'],
      [
        'two lengths',
        'POST /api/v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
        400,
        'VALIDATION_FAILED',
      ],
      [
        'a length and chunks',
        'POST /api/v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        400,
        'VALIDATION_FAILED',
      ],
      ['a header with NUL', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n', 400, 'VALIDATION_FAILED'],
      ['headers of 20 KB', `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
      ['a URL of 20 KB', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
      [
        '5 000 headers',
        `GET / HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 5000 }, (_, index) => `X-${index}: a\r\n`).join('')}\r\n`,
        431,
        'HEADERS_TOO_LARGE',
      ],
    ])('%s', async (_, bytes, status, code) => {
      expectProblem(await sendRaw(port, bytes), status, code);
    });

    it('leave the server as it was', async () => {
      expect((await app.get('/auth/me', { token: admin })).status).toBe(200);
    });
  });

  describe('credentials that are none', () => {
    it.each([
      ['Authorization: Bearer'],
      ['Authorization: Basic YTpi'],
      ['Authorization: Bearer a b'],
      [`Authorization: Bearer ${'a'.repeat(8000)}`],
      ['Authorization: Bearer eyJhbGciOiJub25lIn0.e30.'],
      ['X-API-Key: '],
      [`X-API-Key: ${KEY_SHAPED}`],
      ['X-API-Key: lk_live_\u00e9\u0001'.replace('\u0001', '')],
      ["X-API-Key: ' OR 1=1 --"],
      ['Cookie: latchkey_session=%zz; latchkey_session=a'],
      ['Cookie: =; ;;; latchkey_session'],
    ])('401: %s', async (header) => {
      expectProblem(await raw('GET', '/api/v1/auth/me', [header]), 401, 'UNAUTHENTICATED');
    });
  });
});
