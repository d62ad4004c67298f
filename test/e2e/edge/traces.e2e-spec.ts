import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { Conditions } from '../../../src/common/conditions.js';
import { Metrics } from '../../../src/common/metrics.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { type CollectedSpan, TraceCollector } from '../../support/trace-collector.js';

const PATIENCE_MS = 60_000;

describe('Traces', () => {
  let collector: TraceCollector;
  let app: TestApp;
  let token: string;
  let gateway: { id: string; secret: string };

  beforeAll(async () => {
    collector = await TraceCollector.start();
    app = await TestApp.start({
      TRACES_URL: collector.url,
      TRACES_SAMPLE_RATIO: '1',
      TRACES_HEADERS: 'authorization=Bearer of the collector,x-tenant=keys',
      GATEWAY_PORT: '0',
    });
    token = await app.adminToken();
    const { body } = await app.post('/api-keys', {
      token,
      body: { name: 'Traced', roles: ['gateway'] },
    });
    gateway = { id: body.apiKey.id as string, secret: body.secretKey as string };
    await app.applied();
  }, PATIENCE_MS);
  afterAll(async () => {
    await app.stop();
    await collector.stop();
  }, PATIENCE_MS);

  /** The one span of the request that was given this trace, once it is there. */
  const spanOf = async (traceId: string): Promise<CollectedSpan> => {
    const found = () => collector.spans.filter((span) => span.traceId === traceId && span.kind === 2);
    await eventually(() => expect(found()).toHaveLength(1), PATIENCE_MS);
    return found()[0]!;
  };
  const parent = () => {
    const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
    return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-01` } };
  };
  const metric = async (name: string) =>
    Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await app.app.get(Metrics).registry.metrics())![1]);
  const state = () => app.app.get(Conditions).check()['traces']!.status;

  it('has a span of a verify, a batch and a report of usage, that goes on the trace of the caller', async () => {
    for (const [path, body] of [
      ['/verify', { key: gateway.secret }],
      ['/verify/batch', { items: [{ key: gateway.secret }] }],
      ['/usage', { events: [{ id: 'traced', apiKeyId: gateway.id, costCents: 1 }] }],
    ] as const) {
      const { traceId, spanId, headers } = parent();
      const answer = await app.post(path, { apiKey: gateway.secret, body, headers });
      const span = await spanOf(traceId);
      expect([answer.status, span.name, span.parentSpanId]).toEqual([200, `POST /api/v1${path}`, spanId]);
      expect(span.attributes).toEqual({
        'http.request.method': 'POST',
        'http.route': `/api/v1${path}`,
        'http.response.status_code': 200,
        'latchkey.request_id': answer.headers.get('x-request-id'),
      });
    }
    const { text } = await (await fetch(`${app.baseUrl}/health`)).text().then((text) => ({ text }));
    expect(text).toContain('"traces"');
    expect(collector.resource).toMatchObject({ 'service.name': 'latchkey', 'service.version': expect.any(String) });
    expect(collector.headers).toMatchObject({ authorization: 'Bearer of the collector', 'x-tenant': 'keys' });
  });

  it('names a route of management by its template, with its statements by name', async () => {
    const { traceId, headers } = parent();
    const name = `secret-${randomBytes(8).toString('hex')}`;
    const answer = await app.patch(`/api-keys/${gateway.id}`, { token, headers, body: { name } });
    expect(answer.status).toBe(200);
    await app.get(`/api-keys?search=${name}`, { token });
    const span = await spanOf(traceId);
    expect([span.name, span.attributes['http.route']]).toEqual(['PATCH /api/v1/api-keys/:id', '/api/v1/api-keys/:id']);
    const statements = () => collector.spans.filter((one) => one.traceId === traceId && one.kind === 3);
    await eventually(() => expect(statements().length).toBeGreaterThan(3), PATIENCE_MS);
    expect(statements().map(({ parentSpanId }) => parentSpanId)).toEqual(statements().map(() => span.spanId));
    expect(statements().map((one) => one.name)).toEqual(expect.arrayContaining(['COMMIT', 'UPDATE api_key']));
    for (const one of statements()) {
      // That of a prepared statement, or what it does to which table.
      expect(one.name).toMatch(/^([a-z]+(-[a-z]+)+|[A-Z]+( [a-z_0-9]+)?)$/);
      expect(one.attributes).toEqual({ 'db.system.name': 'postgresql', 'db.query.summary': one.name });
    }
    expect(collector.text).not.toContain(name);
  });

  it('has spans of leases and of booked usage by themselves, linked to a request that waited', async () => {
    const { traceId, headers } = parent();
    const { body } = await app.post('/api-keys', { token, body: { rateLimitPerMinute: 10 } });
    await app.applied();
    await app.post('/verify', { apiKey: gateway.secret, body: { key: body.secretKey }, headers });
    const linked = () => collector.spans.filter(({ links }) => links.some((link) => link.traceId === traceId));
    await eventually(() => expect(linked().map(({ name }) => name)).toContain('quotas'), PATIENCE_MS);
    for (const one of linked()) expect([one.traceId === traceId, one.parentSpanId || null]).toEqual([false, null]);
    const lease = linked().find(({ name }) => name === 'quotas');
    const statements = () => collector.spans.filter(({ parentSpanId }) => parentSpanId === lease!.spanId);
    await eventually(
      () => expect(statements().map(({ name }) => name)).toContainEqual(expect.stringContaining('acquire')),
      PATIENCE_MS,
    );
    await eventually(() => expect(collector.spans.map(({ name }) => name)).toContain('usage'), PATIENCE_MS);
  });

  it('has spans of what no route takes, of refusals and of what a gateway asks', async () => {
    const unknown = parent();
    await app.get('/no/such/route?with=secret', { headers: unknown.headers });
    expect((await spanOf(unknown.traceId)).name).toBe('GET');
    const refused = parent();
    const { status } = await app.post('/verify', { apiKey: 'none', body: { key: 'none' }, headers: refused.headers });
    expect((await spanOf(refused.traceId)).attributes).toMatchObject({ 'http.response.status_code': status });
    const { GatewayListener } = await import('../../../src/gateways/gateway-listener.js');
    const { port } = app.app.get(GatewayListener, { strict: false });
    const asked = parent();
    await fetch(`http://127.0.0.1:${port}/api/v1/forward-auth`, {
      headers: { ...asked.headers, 'x-api-key': gateway.secret },
    });
    expect((await spanOf(asked.traceId)).name).toMatch(/^GET \/api\/v1\/forward-auth/);
  });

  it('ignores a traceparent that is none, and keeps a tracestate to itself', async () => {
    const id = randomBytes(16).toString('hex');
    const before = collector.spans.length;
    const headersOf = (traceparent: string): Record<string, string> => ({ traceparent, tracestate: 'vendor=a-secret' });
    const bad = [
      `00-${'0'.repeat(32)}-${randomBytes(8).toString('hex')}-01`,
      `00-${id}-${'0'.repeat(16)}-01`,
      `00-${id}-xyz-01`,
      `ff-${id}-${randomBytes(8).toString('hex')}-01`,
      'x'.repeat(5_000),
      `00-${id.toUpperCase()}-${randomBytes(8).toString('hex')}-01`,
    ];
    for (const traceparent of bad)
      expect((await app.get('/auth/me', { token, headers: headersOf(traceparent) })).status).toBe(200);
    const good = parent();
    await app.get('/auth/me', { token, headers: { ...headersOf(''), ...good.headers } });
    await spanOf(good.traceId);
    const own = () => collector.spans.slice(before).filter(({ name }) => name === 'GET /api/v1/auth/me');
    await eventually(() => expect(own()).toHaveLength(bad.length + 1), PATIENCE_MS);
    expect(own().filter(({ traceId }) => traceId.toLowerCase() === id)).toEqual([]);
    expect(collector.text).not.toContain('a-secret');
  });

  it('has none of a request whose caller has decided so, and none of probes', async () => {
    const { traceId, headers } = parent();
    const silent = { traceparent: headers.traceparent.replace(/01$/, '00') };
    await app.get('/auth/me', { token, headers: silent });
    const probe = parent();
    await fetch(`${app.baseUrl}/health/ready`, { headers: probe.headers });
    const last = parent();
    await app.get('/auth/me', { token, headers: last.headers });
    await spanOf(last.traceId);
    expect(collector.spans.filter((one) => [traceId, probe.traceId].includes(one.traceId))).toEqual([]);
  });

  it(
    'costs spans and no request where the collector is dead, and says so',
    async () => {
      for (const mode of ['silent', 'refuse', 'stopped'] as const) {
        if (mode === 'stopped') await collector.stop();
        else collector.mode = mode;
        const lost = await metric('latchkey_trace_spans_lost_total');
        const answers = await Promise.all(
          Array.from({ length: 100 }, () =>
            app.post('/verify', { apiKey: gateway.secret, body: { key: gateway.secret } }),
          ),
        );
        expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
        await eventually(async () => {
          expect(await metric('latchkey_trace_spans_lost_total')).toBeGreaterThan(lost);
          expect(state()).toBe('degraded');
        }, PATIENCE_MS);
        expect((await app.get('//health/ready')).status).toBe(200);
      }
      collector.mode = 'take';
      await collector.listen();
      await eventually(async () => {
        const { traceId, headers } = parent();
        await app.get('/auth/me', { token, headers });
        await eventually(() => expect(collector.spans.map((one) => one.traceId)).toContain(traceId), PATIENCE_MS);
        expect(state()).toBe('up');
      }, PATIENCE_MS);
    },
    4 * PATIENCE_MS,
  );
});

describe('Traces of one request in none', () => {
  it(
    'are none at all, while a caller that asks for them has them, and the last ones are sent at the end',
    async () => {
      const collector = await TraceCollector.start();
      const app = await TestApp.start({ TRACES_URL: collector.url, TRACES_SAMPLE_RATIO: '0' });
      try {
        const token = await app.adminToken();
        for (let n = 0; n < 20; n += 1) await app.get('/auth/me', { token });
        const requests = () =>
          collector.spans.filter(({ kind }) => kind === 2).map(({ traceId, name }) => [traceId, name]);
        const ask = async () => {
          const traceId = randomBytes(16).toString('hex');
          await app.get('/auth/me', { token, headers: { traceparent: `00-${traceId}-${'1'.repeat(16)}-01` } });
          return [traceId, 'GET /api/v1/auth/me'];
        };
        const first = await ask();
        await eventually(() => expect(requests()).toEqual([first]), PATIENCE_MS);
        const last = await ask();
        await app.stop();
        expect(requests()).toEqual([first, last]);
      } finally {
        await collector.stop();
      }
    },
    2 * PATIENCE_MS,
  );
});
