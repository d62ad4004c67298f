import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { HeaderList } from '../e2e/gateways/gateway.js';
import { Behind, FORGED, IDENTITY, REFUSALS } from './behind.js';
import { CLIENT, Proxy, blocksOf, filled, isInstalled } from './proxy.js';

const withCaddy = isInstalled('caddy', 'version') ? describe : describe.skip;
const bearer = ({ secret }: { secret: string }): HeaderList => [['Authorization', `Bearer ${secret}`]];

withCaddy('Caddy, as docs/gateways/caddy.md configures it', () => {
  let behind: Behind;
  let caddy: Proxy;
  let block: string;

  const start = (values: Record<string, string> = {}) =>
    Proxy.caddy((port) =>
      filled(block, {
        'api.example.com': `http://127.0.0.1:${port}`,
        '127.0.0.1:3000': behind.address,
        '127.0.0.1:8080': behind.upstream.address,
        GATEWAY_KEY: behind.gateway.secret,
        ...values,
      }),
    );

  beforeAll(async () => {
    behind = await Behind.start();
    block = (await blocksOf('caddy.md', 'caddyfile'))[0]!;
    caddy = await start();
  });
  beforeEach(() => void behind.upstream.take());
  afterAll(async () => {
    await caddy.stop();
    await behind.stop();
  });

  it.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    'lets %s of a good key through, with its body',
    async (method) => {
      const key = await behind.key({ tags: ['team:a'] });
      const body = ['POST', 'PUT', 'PATCH'].includes(method) ? JSON.stringify({ text: 'x'.repeat(100_000) }) : '';
      const sent: HeaderList =
        body === ''
          ? []
          : [
              ['Content-Type', 'application/json'],
              ['Content-Length', String(body.length)],
            ];
      expect((await caddy.ask(method, '/v1/chat?x=1', [...bearer(key), ...sent], body)).status).toBe(200);
      const served = behind.upstream.take()!;
      expect(served).toMatchObject({ method, url: '/v1/chat?x=1', body });
      expect(served.headers).toMatchObject({
        'x-latchkey-key-id': key.id,
        'x-latchkey-scopes': 'chat:write',
        'x-latchkey-tags': 'team:a',
        'x-latchkey-environment': 'live',
      });
      expect(JSON.stringify(served)).not.toContain(key.secret);
      expect(JSON.stringify(served)).not.toContain(behind.gateway.secret);
    },
  );

  it('drops whatever identity a client made up, and puts no placeholder in its place', async () => {
    const key = await behind.key();
    await caddy.ask('GET', '/', [['X-API-Key', key.secret], ...FORGED]);
    const { headers } = behind.upstream.take()!;
    expect(headers['x-latchkey-key-id']).toBe(key.id);
    expect(JSON.stringify(IDENTITY.map((name) => headers[name]))).not.toMatch(/forged|admin|\{/);
  });

  it.each(['X_Latchkey_Owner_Id', 'X-Latchkey_Owner-Id', 'X.Latchkey.Owner.Id', 'x_latchkey_scopes'])(
    'refuses an identity as %s',
    async (name) => {
      const { status, headers } = await caddy.ask('GET', '/', [...bearer(await behind.key()), [name, 'forged']]);
      expect([status, headers['x-latchkey-code']]).toEqual([400, 'VALIDATION_FAILED']);
      expect(behind.upstream.take()).toBeUndefined();
    },
  );

  it('lets no client hide who it is, or where', async () => {
    for (const name of ['X-Latchkey-Owner-Id', 'x-latchkey-key-id', 'X-Forwarded-For', 'X-Latchkey-Gateway-Key']) {
      expect(
        (await caddy.ask('GET', '/', [...bearer(await behind.key()), ['Connection', `close, ${name}`]])).status,
      ).toBe(400);
    }
    expect(behind.upstream.take()).toBeUndefined();
    const ofProxies = await behind.key({ allowedIps: ['127.0.0.0/30'] });
    const junk = Array.from({ length: 2_000 }, () => ['A', ''] as const);
    const answer = await caddy.ask('GET', '/', [...bearer(ofProxies), ...junk]);
    expect([answer.status, answer.problem.code, answer.problem.detail]).toEqual([
      431,
      'HEADERS_TOO_LARGE',
      'The request has more than 200 header lines. Send fewer.',
    ]);
  });

  it('tells the client’s address, which no header of the client changes', async () => {
    const here = await behind.key({ allowedIps: [CLIENT] });
    const ofProxies = await behind.key({ allowedIps: ['127.0.0.0/30'] });
    const there = await behind.key({ allowedIps: ['203.0.113.7'] });
    const forged: HeaderList = [
      ['X-Forwarded-For', '203.0.113.7'],
      ['X-Real-IP', '203.0.113.7'],
    ];
    expect((await caddy.ask('GET', '/', bearer(ofProxies))).status).toBe(403);
    expect((await caddy.ask('GET', '/', [...bearer(ofProxies), ['X-Forwarded-For', '127.0.0.1']])).status).toBe(403);
    expect((await caddy.ask('GET', '/', [...bearer(here), ...forged])).status).toBe(200);
    expect((await caddy.ask('GET', '/', [...bearer(there), ...forged])).status).toBe(403);
  });

  it.each(REFUSALS)('refuses $code as $status, with Latchkey’s own answer', async ({ code, status, fields, end }) => {
    const key = await behind.key(fields);
    if (end !== undefined) {
      await behind.management[end](key.id);
      await behind.app.applied();
    }
    const answer = await caddy.ask('GET', '/', bearer(key));
    expect([answer.status, answer.headers['x-latchkey-code'], answer.problem.code]).toEqual([status, code, code]);
    expect(answer.headers['content-security-policy']).toBeUndefined();
    expect(behind.upstream.take()).toBeUndefined();
  });

  it('refuses clients without a key with a challenge, and keys in the URL', async () => {
    const none = await caddy.ask('GET', '/', []);
    expect([none.status, none.headers['www-authenticate']]).toEqual([401, 'Bearer realm="latchkey"']);
    const key = await behind.key();
    expect((await caddy.ask('GET', `/?key=${key.secret}`, bearer(key))).status).toBe(400);
    expect(behind.upstream.take()).toBeUndefined();
  });

  it('passes 429 on, with the time to come back', async () => {
    const key = await behind.key({ rateLimitPerMinute: 1 });
    expect((await caddy.ask('GET', '/', bearer(key))).status).toBe(200);
    const { status, headers, problem } = await caddy.ask('GET', '/', bearer(key));
    expect([status, problem.code, headers['x-latchkey-code']]).toEqual([429, 'RATE_LIMITED', 'RATE_LIMITED']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(headers['ratelimit']).toContain('"minute";r=0');
  });

  it('does not take a gateway’s key from a client', async () => {
    expect((await caddy.ask('GET', '/', [['X-Latchkey-Gateway-Key', behind.gateway.secret]])).status).toBe(401);
    expect((await caddy.ask('GET', '/', bearer(behind.gateway))).status).toBe(403);
  });

  it.each([401, 403, 500])('leaves the service its own %i', async (status) => {
    const answer = await caddy.ask('GET', `/status/${status}`, bearer(await behind.key()));
    expect([answer.status, answer.text]).toEqual([status, 'served']);
  });

  it('lets nobody through with a bad gateway key, and while Latchkey is away', async () => {
    const key = await behind.key();
    for (const values of [{ [behind.gateway.secret]: 'lk_live_bad' }, { [behind.address]: '127.0.0.1:9' }] as Record<
      string,
      string
    >[]) {
      const other = await start(values);
      const { status } = await other.ask('GET', '/', bearer(key));
      await other.stop();
      expect(status).toBe(values[behind.address] === undefined ? 401 : 502);
    }
    expect(behind.upstream.take()).toBeUndefined();
  });
});
