import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { get as httpGet } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type Answer, TestApp } from '../../support/app.js';
import { issueKey, issueServiceKey } from '../../support/management.js';

const GZIP = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
const LIMIT = 64 * 1024;
/** Inflates a thousandfold. */
const BOMB = gzipSync(Buffer.alloc(60 * 1024 * 1024, 0x20), { level: 9 });
const BOMBS = 24;
/** One bomb alone would take nearly as much; all of them twenty times. */
const MAX_GROWTH_BYTES = 100 * 1024 * 1024;

interface Raw {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly bytes: Buffer;
}

describe('compression', () => {
  let app: TestApp;
  /** A replica with the bounds that callers have. */
  let bounded: TestApp;
  let admin: string;
  let service: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    bounded = await TestApp.start({ MANAGEMENT_RATE_PER_MINUTE: '60' }, app.database);
    admin = await app.adminToken();
    service = (await issueServiceKey(app, admin)).secret;
  });
  afterAll(async () => {
    await bounded.stop();
    await app.stop();
  });

  const post = async (
    path: string,
    bytes: Buffer,
    headers: Record<string, string>,
    credentials: Record<string, string> = { authorization: `Bearer ${admin}` },
  ): Promise<Answer> => {
    const answer = await fetch(`${app.baseUrl}/api/v1${path}`, {
      method: 'POST',
      headers: { ...credentials, ...headers },
      body: new Uint8Array(bytes),
    });
    return { status: answer.status, headers: answer.headers, body: await answer.json() };
  };
  const packed = (body: unknown) => gzipSync(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
  const asService = () => ({ 'x-api-key': service });
  const told = ({ status, body }: Answer) => [status, body.code];

  describe('of request bodies', () => {
    it('is undone for management, verify, batches and reports', async () => {
      const key = await post('/api-keys', packed({ name: 'Packed' }), GZIP);
      expect([key.status, key.body.apiKey.name]).toEqual([201, 'Packed']);
      const { secretKey, apiKey } = key.body;
      const verdict = await post('/verify', packed({ key: secretKey }), GZIP, asService());
      expect([verdict.status, verdict.body.code]).toEqual([200, 'VALID']);
      const batch = await post('/verify/batch', packed({ items: [{ key: secretKey }] }), GZIP, asService());
      expect(batch.body.results.map((each: { code: string }) => each.code)).toEqual(['VALID']);
      const event = { id: 'packed-1', apiKeyId: apiKey.id, costCents: 1 };
      const report = await post(
        '/usage',
        packed({ events: [event] }),
        { ...GZIP, 'content-encoding': 'X-Gzip' },
        asService(),
      );
      expect(report.status).toBe(200);
    });

    it('415: where credentials or the verb of a batch are in the body', async () => {
      const form = { ...GZIP, 'content-type': 'application/x-www-form-urlencoded' };
      expect(told(await post('/introspect', packed('token=x'), form))).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
      const bulk = await post('/api-keys/bulk', packed({ action: 'revoke', ids: [] }), GZIP);
      expect(told(bulk)).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    });

    it('is judged by what it holds, as any body', async () => {
      expect((await post('/api-keys', packed({ name: 7 }), GZIP)).body.errors[0].path).toBe('name');
      expect(told(await post('/api-keys', packed('{'), GZIP))).toEqual([400, 'VALIDATION_FAILED']);
      expect((await post('/api-keys', packed('\ufeff{"name":"Marked"}'), GZIP)).body.apiKey.name).toBe('Marked');
    });

    it.each([
      ['no gzip', Buffer.from('{"name":"x"}')],
      ['a stream that is cut off', packed({ name: 'x'.repeat(90) }).subarray(0, -9)],
      ['text behind the stream', Buffer.concat([packed({ name: 'x' }), Buffer.from('{"name":"y"}')])],
    ])('400: %s', async (_, bytes) => {
      const answer = await post('/api-keys', bytes, GZIP);
      expect(told(answer)).toEqual([400, 'VALIDATION_FAILED']);
    });

    it.each(['gzip, gzip', 'br', 'deflate', 'zstd', 'identity, gzip'])('415: Content-Encoding %s', async (encoding) => {
      const answer = await post('/api-keys', packed({}), { ...GZIP, 'content-encoding': encoding });
      expect(told(answer)).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    });

    it('413: what is larger once it is inflated than a plain body may be, to the byte', async () => {
      const sized = (bytes: number) => `{"name":"x"${' '.repeat(bytes - 12)}}`;
      expect((await post('/api-keys', packed(sized(LIMIT)), GZIP)).status).toBe(201);
      expect(told(await post('/api-keys', packed(sized(LIMIT + 1)), GZIP))).toEqual([413, 'BODY_TOO_LARGE']);
      expect(told(await post('/usage', packed(`[${' '.repeat(1024 * 1024)}]`), GZIP, asService()))).toEqual([
        413,
        'BODY_TOO_LARGE',
      ]);
    });

    it('never takes the memory of what a bomb would inflate to', async () => {
      const watch = new AbortController();
      let peak = 0;
      const used = () => process.memoryUsage().rss;
      const before = used();
      const watching = (async () => {
        for (; !watch.signal.aborted; await sleep(2)) peak = Math.max(peak, used());
      })();
      const answers = await Promise.all(Array.from({ length: BOMBS }, () => post('/api-keys', BOMB, GZIP)));
      watch.abort();
      await watching;
      expect(answers.map(told)).toEqual(Array(BOMBS).fill([413, 'BODY_TOO_LARGE']));
      expect(peak - before).toBeLessThan(MAX_GROWTH_BYTES);
    });

    it('is not looked at before the caller is known, and nothing is inflated for a stranger', async () => {
      expect(told(await post('/api-keys', Buffer.from('no gzip'), GZIP, {}))).toEqual([401, 'UNAUTHENTICATED']);
      const login = await post('/auth/login', packed({ email: 'a@b.test', password: 'x' }), GZIP, {});
      expect(told(login)).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    });

    it('counts a batch for the keys that it names', async () => {
      const token = await bounded.adminToken();
      const keys = Array.from({ length: 2000 }, (_, index) => ({ ref: String(index), hash: 'x' }));
      const answer = await fetch(`${bounded.baseUrl}/api/v1/api-keys/import`, {
        method: 'POST',
        headers: { ...GZIP, authorization: `Bearer ${token}` },
        body: new Uint8Array(packed({ keys })),
      });
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([429, 'TOO_MANY_REQUESTS']);
    });
  });

  describe('of answers', () => {
    const get = (path: string, accepted: string | null): Promise<Raw> =>
      new Promise((resolve, reject) => {
        const headers = {
          authorization: `Bearer ${admin}`,
          ...(accepted === null ? {} : { 'accept-encoding': accepted }),
        };
        const url = path.startsWith('//') ? path.slice(1) : `/api/v1${path}`;
        httpGet(`${app.baseUrl}${url}`, { headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () =>
            resolve({ status: response.statusCode!, headers: response.headers, bytes: Buffer.concat(chunks) }),
          );
          response.on('error', reject);
        }).on('error', reject);
      });

    beforeAll(async () => {
      for (let index = 0; index < 30; index += 1) await issueKey(app, admin, { name: `Listed ${index}` });
    });

    it.each([
      '/api-keys?size=100',
      '/api-keys/export',
      '/users?size=100',
      '/roles?size=100',
      '/permissions',
      '/audit-events?limit=100&isRead=false',
      '/audit-events/export?isRead=false',
      '//docs-json',
    ])('is made for %s, and says the same', async (path) => {
      const plain = await get(path, null);
      const compressed = await get(path, 'br, gzip;q=0.5');
      expect([plain.status, plain.headers['content-encoding'], plain.headers['vary']]).toEqual([
        200,
        undefined,
        'Accept-Encoding',
      ]);
      expect(compressed.headers['vary']).toBe('Accept-Encoding');
      if (plain.bytes.length < 1024) return expect(compressed.headers['content-encoding']).toBeUndefined();
      expect(compressed.headers['content-encoding']).toBe('gzip');
      expect(compressed.bytes.length).toBeLessThan(plain.bytes.length / 2);
      // Reading is what is recorded while a test reads.
      const same = (bytes: Buffer) => bytes.toString().slice(0, 1000);
      expect(same(gunzipSync(compressed.bytes))).toBe(same(plain.bytes));
    });

    it.each([
      ['gzip;q=0', undefined],
      ['*;q=0', undefined],
      ['identity', undefined],
      ['*', 'gzip'],
      ['gzip;q=0, *', undefined],
      ['GZIP', 'gzip'],
      ['gzip;q=nonsense', undefined],
    ])('follows Accept-Encoding: %s', async (accepted, expected) => {
      expect((await get('/api-keys?size=100', accepted)).headers['content-encoding']).toBe(expected);
    });

    it('is never made where an answer may show a secret or a cookie, nor on the data plane', async () => {
      const name = 'n'.repeat(100);
      const metadata = { text: 'x'.repeat(3000) };
      const created = await app.post('/api-keys', { token: admin, body: { name, metadata } });
      const { apiKey, secretKey } = created.body;
      const items = Array(100).fill({ key: secretKey });
      const answers = [
        created,
        await app.get(`/api-keys/${apiKey.id}`, { token: admin }),
        await app.post(`/api-keys/${apiKey.id}/regenerate`, { token: admin, body: { overlapSeconds: 60 } }),
        await app.post('/verify/batch', { apiKey: service, body: { items } }),
        await app.post('/auth/login', { body: { email: 'admin@latchkey.test', password: 'x' } }),
        // A cookie that means nothing any more is ended with the answer.
        await app.get('/api-keys?size=100', { token: admin, headers: { cookie: 'latchkey_session=gone' } }),
      ];
      for (const { headers } of answers.slice(0, 5)) {
        expect(headers.get('content-encoding')).toBeNull();
      }
      for (const { headers } of answers) {
        if (headers.has('set-cookie')) expect(headers.get('content-encoding')).toBeNull();
      }
    });

    it('sends an export in pieces, without a length', async () => {
      const answer = await get('/api-keys/export', 'gzip');
      expect(gunzipSync(answer.bytes).toString().trim().split('\n').length).toBeGreaterThan(30);
      expect(answer.headers['content-length']).toBeUndefined();
    });
  });
});
