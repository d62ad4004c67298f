import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { loadAll } from 'js-yaml';
import { readFile } from 'node:fs/promises';
import { GatewayListener } from '../../src/gateways/gateway-listener.js';
import type { HeaderList } from '../e2e/gateways/gateway.js';
import { Behind, FORGED, IDENTITY, REFUSALS } from './behind.js';
import { CLIENT, Proxy, blocksOf, filled, isInstalled } from './proxy.js';

const withNginx = isInstalled('nginx', '-v') ? describe : describe.skip;
const bearer = ({ secret }: { secret: string }): HeaderList => [['Authorization', `Bearer ${secret}`]];

withNginx('nginx, as docs/gateways/nginx.md configures it', () => {
  let behind: Behind;
  let blocks: string[];

  beforeAll(async () => {
    behind = await Behind.start();
    blocks = await blocksOf('nginx.md', 'nginx');
  });
  beforeEach(() => void behind.upstream.take());
  afterAll(() => behind.stop());

  const values = (gatewayKey: string) => ({
    '127.0.0.1:3000': behind.address,
    '127.0.0.1:8080': behind.upstream.address,
    GATEWAY_KEY: gatewayKey,
  });
  const tenLines = (gatewayKey: string) =>
    Proxy.nginx((port) => `server { listen 127.0.0.1:${port};\n${filled(blocks[0]!, values(gatewayKey))}\n}`);
  const whole = (gatewayKey: string) =>
    Proxy.nginx((port) => filled(blocks[1]!, { ...values(gatewayKey), 'listen 80;': `listen 127.0.0.1:${port};` }));

  describe('in ten lines', () => {
    let nginx: Proxy;

    beforeAll(async () => {
      nginx = await tenLines(behind.gateway.secret);
    });
    afterAll(() => nginx.stop());

    it('takes ten lines, braces aside', () => {
      expect(blocks[0]!.split('\n').filter((line) => !/^\s*}?\s*$/.test(line)).length).toBeLessThanOrEqual(10);
    });

    it.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
      'lets %s of a good key through, with its body',
      async (method) => {
        const key = await behind.key();
        const body = ['POST', 'PUT', 'PATCH'].includes(method) ? JSON.stringify({ text: 'x'.repeat(100_000) }) : '';
        const sent: HeaderList =
          body === ''
            ? []
            : [
                ['Content-Type', 'application/json'],
                ['Content-Length', String(body.length)],
              ];
        expect((await nginx.ask(method, '/v1/chat?x=1', [...bearer(key), ...sent], body)).status).toBe(200);
        expect(behind.upstream.take()).toMatchObject({ method, url: '/v1/chat?x=1', body });
      },
    );

    it('refuses clients without a key, and keys that are none', async () => {
      for (const headers of [
        [],
        bearer({ secret: `lk_live_${'a'.repeat(63)}` }),
        [['X-API-Key', 'nonsense']],
      ] as HeaderList[]) {
        const { status, headers: answered } = await nginx.ask('GET', '/', headers);
        expect([status, answered['www-authenticate']?.startsWith('Bearer')]).toEqual([401, true]);
      }
      expect(behind.upstream.take()).toBeUndefined();
    });

    it('refuses by 403 what lacks a scope, and what is used up', async () => {
      expect((await nginx.ask('GET', '/', bearer(await behind.key({ scopes: [] })))).status).toBe(403);
      const limited = await behind.key({ rateLimitPerMinute: 1 });
      expect((await nginx.ask('GET', '/', bearer(limited))).status).toBe(200);
      expect((await nginx.ask('GET', '/', bearer(limited))).status).toBe(403);
    });

    it('tells the client’s address, which no header of the client changes', async () => {
      const here = await behind.key({ allowedIps: [CLIENT] });
      const ofProxies = await behind.key({ allowedIps: ['127.0.0.0/30'] });
      const there = await behind.key({ allowedIps: ['203.0.113.7'] });
      const forged: HeaderList = [
        ['X-Forwarded-For', '203.0.113.7'],
        ['X-Real-IP', '203.0.113.7'],
      ];
      expect((await nginx.ask('GET', '/', bearer(ofProxies))).status).toBe(403);
      expect((await nginx.ask('GET', '/', [...bearer(ofProxies), ['X-Forwarded-For', '127.0.0.1']])).status).toBe(403);
      expect((await nginx.ask('GET', '/', [...bearer(here), ...forged])).status).toBe(200);
      expect((await nginx.ask('GET', '/', [...bearer(there), ...forged])).status).toBe(403);
    });

    it('does not take a gateway’s key from a client', async () => {
      const headers: HeaderList = [
        ['X-Latchkey-Gateway-Key', behind.gateway.secret],
        ['X-Latchkey-Ask', 'scope=x'],
      ];
      expect((await nginx.ask('GET', '/', headers)).status).toBe(401);
      expect((await nginx.ask('GET', '/', [...headers, ...bearer(behind.gateway)])).status).toBe(403);
      expect((await nginx.ask('GET', '/_latchkey', bearer(await behind.key()))).status).toBe(404);
    });
  });

  describe('in whole', () => {
    let nginx: Proxy;

    beforeAll(async () => {
      nginx = await whole(behind.gateway.secret);
    });
    afterAll(() => nginx.stop());

    it('tells the service who calls, and never the key', async () => {
      const key = await behind.key({ tags: ['team:a'], rateLimitPerMinute: 60 });
      const answer = await nginx.ask('POST', '/v1/chat', [...bearer(key), ['Content-Length', '2']], 'hi');
      const served = behind.upstream.take()!;
      expect([answer.status, answer.text, served.body]).toEqual([200, 'served', 'hi']);
      expect(served.headers).toMatchObject({
        'x-latchkey-key-id': key.id,
        'x-latchkey-scopes': 'chat:write',
        'x-latchkey-tags': 'team:a',
        'x-latchkey-environment': 'live',
        'x-forwarded-for': CLIENT,
      });
      expect(JSON.stringify(served)).not.toContain(key.secret);
      expect(answer.headers['ratelimit']).toMatch(/^"minute";r=59;t=\d+$/);
    });

    it('leaves out other spellings of an identity, and lets Latchkey refuse them where nginx does not', async () => {
      const key = await behind.key();
      const spelled: HeaderList = [
        ...bearer(key),
        ['X_Latchkey_Owner_Id', 'forged'],
        ['X-Latchkey-Owner.Id', 'forged'],
      ];
      expect((await nginx.ask('GET', '/', spelled)).status).toBe(200);
      expect(JSON.stringify(behind.upstream.take()!.lines)).not.toContain('forged');
      const all = 'underscores_in_headers on; ignore_invalid_headers off;';
      const permissive = await Proxy.nginx((port) =>
        filled(blocks[1]!, { ...values(behind.gateway.secret), 'listen 80;': `listen 127.0.0.1:${port}; ${all}` }),
      );
      for (const name of ['X_Latchkey_Owner_Id', 'X-Latchkey-Owner.Id', 'X-LATCHKEY-OWNER_ID']) {
        const { status, headers } = await permissive.ask('GET', '/', [...bearer(key), [name, 'forged']]);
        expect([status, headers['x-latchkey-code']]).toEqual([403, 'VALIDATION_FAILED']);
      }
      await permissive.stop();
      expect(behind.upstream.take()).toBeUndefined();
    });

    it('drops whatever identity a client made up', async () => {
      const key = await behind.key();
      await nginx.ask('GET', '/', [['X-API-Key', key.secret], ...FORGED]);
      const { headers } = behind.upstream.take()!;
      expect(headers['x-latchkey-key-id']).toBe(key.id);
      expect(JSON.stringify(IDENTITY.map((name) => headers[name]))).not.toMatch(/forged|admin/);
    });

    it('passes on a key with as many scopes and tags as there can be', async () => {
      const scopes = ['chat:write', ...Array.from({ length: 99 }, (_, index) => `scope:${index}:${'x'.repeat(100)}`)];
      const key = await behind.key({
        scopes,
        tags: Array.from({ length: 50 }, (_, index) => `tag:${index}:${'y'.repeat(50)}`),
        rateLimitPerMinute: 9,
        rateLimitPerHour: 9,
        rateLimitPerDay: 9,
      });
      expect((await nginx.ask('GET', '/', bearer(key))).status).toBe(200);
      expect(behind.upstream.take()!.headers['x-latchkey-scopes']).toMatch(/^chat:write scope:0:x+ /);
    });

    it.each(REFUSALS)('refuses $code as $status', async ({ code, status, fields, end }) => {
      const key = await behind.key(fields);
      if (end !== undefined) {
        await behind.management[end](key.id);
        await behind.app.applied();
      }
      const answer = await nginx.ask('GET', '/', bearer(key));
      expect([answer.status, answer.headers['x-latchkey-code'], answer.problem.code]).toEqual([status, code, code]);
      expect(behind.upstream.take()).toBeUndefined();
    });

    it('challenges a client without a key once', async () => {
      const { status, headers, problem } = await nginx.ask('GET', '/', []);
      expect([status, problem.code]).toEqual([401, 'UNAUTHENTICATED']);
      expect(headers['www-authenticate']).toMatch(/^Bearer realm="[a-z]+"$/);
    });

    it('makes 429 of a rate limit that is used up, and says when to come back', async () => {
      const key = await behind.key({ rateLimitPerMinute: 1 });
      expect((await nginx.ask('GET', '/', bearer(key))).status).toBe(200);
      const { status, headers, problem } = await nginx.ask('GET', '/', bearer(key));
      expect([status, problem.status, problem.code, headers['x-latchkey-code']]).toEqual([
        429,
        429,
        'RATE_LIMITED',
        'RATE_LIMITED',
      ]);
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
      expect(headers['ratelimit']).toContain('"minute";r=0');
    });

    it.each([401, 403, 500, 503])('leaves the service its own %i', async (status) => {
      const answer = await nginx.ask('GET', `/status/${status}`, bearer(await behind.key()));
      expect([answer.status, answer.text]).toEqual([status, 'served']);
    });
  });

  describe('where the gateway itself is at fault', () => {
    it.each(['ten lines', 'whole'])('lets nobody through with a bad gateway key: %s', async (kind) => {
      const other = await behind.key();
      const key = await behind.key();
      for (const [gatewayKey, statuses] of [
        ['lk_live_bad', [401, 503]],
        [other.secret, [403, 503]],
      ] as const) {
        const nginx = await (kind === 'whole' ? whole(gatewayKey) : tenLines(gatewayKey));
        const { status } = await nginx.ask('GET', '/', bearer(key));
        await nginx.stop();
        expect(status).toBe(statuses[kind === 'whole' ? 1 : 0]);
      }
      expect(behind.upstream.take()).toBeUndefined();
    });

    it('lets nobody through while Latchkey is away, and says 503 with a time', async () => {
      const nginx = await Proxy.nginx((port) =>
        filled(blocks[1]!, {
          ...values(behind.gateway.secret),
          [behind.address]: '127.0.0.1:9',
          'listen 80;': `listen 127.0.0.1:${port};`,
        }),
      );
      const { status, headers, problem } = await nginx.ask('GET', '/', bearer(await behind.key()));
      await nginx.stop();
      expect([status, headers['retry-after'], problem.code]).toEqual([503, '1', 'UNAVAILABLE']);
      expect(behind.upstream.take()).toBeUndefined();
    });

    it('says in nginx’ error log that the query asks for nothing there is', async () => {
      const nginx = await Proxy.nginx(
        (port) =>
          `server { listen 127.0.0.1:${port};\n${filled(blocks[0]!, { ...values(behind.gateway.secret), 'scope=chat:write': 'cost=-1' })}\n}`,
      );
      const { status } = await nginx.ask('GET', '/', bearer(await behind.key()));
      const log = await readFile(`${nginx.directory}/error.log`, 'utf8');
      await nginx.stop();
      expect(status).toBe(500);
      expect(log).toContain('auth request unexpected status: 400');
    });
  });
});

interface ConfigMap {
  readonly kind: string;
  readonly data: Readonly<Record<string, string>>;
}

withNginx('nginx with a Latchkey beside it, as deploy/kubernetes/sidecar.yaml configures it', () => {
  let behind: Behind;
  let nginx: Proxy;

  beforeAll(async () => {
    // As its container has them; a free port in place of 3001.
    behind = await Behind.start({ GATEWAY_PORT: '0', TRUSTED_PROXIES: '127.0.0.1' });
    const manifests = loadAll(await readFile('deploy/kubernetes/sidecar.yaml', 'utf8')) as ConfigMap[];
    const configuration = manifests.find(({ kind }) => kind === 'ConfigMap')!.data['default.conf']!;
    const { port: gateway } = behind.app.app.get(GatewayListener, { strict: false });
    nginx = await Proxy.nginx((port) =>
      filled(configuration, {
        'listen 8080;': `listen 127.0.0.1:${port};`,
        '127.0.0.1:3001': `127.0.0.1:${gateway}`,
        '127.0.0.1:8081': behind.upstream.address,
      }),
    );
  });
  afterAll(async () => {
    await nginx?.stop();
    await behind.stop();
  });

  it('lets a good key through, without a key of its own, and refuses the others', async () => {
    expect((await nginx.ask('GET', '/v1/chat', bearer(await behind.key()))).status).toBe(200);
    expect((await nginx.ask('GET', '/v1/chat', [])).status).toBe(401);
    const { status } = await nginx.ask('GET', '/', bearer(await behind.key({ allowedIps: ['203.0.113.7'] })));
    expect(status).toBe(403);
    expect((await nginx.ask('GET', '/', bearer(await behind.key({ allowedIps: [CLIENT] })))).status).toBe(200);
  });

  it('tells the service who calls, never the key, and nothing that the client made up', async () => {
    const key = await behind.key({ tags: ['team:a'] });
    behind.upstream.take();
    expect((await nginx.ask('GET', '/v1/chat', [...bearer(key), ...FORGED])).status).toBe(200);
    const served = behind.upstream.take()!;
    expect(served.headers).toMatchObject({
      'x-latchkey-key-id': key.id,
      'x-latchkey-tags': 'team:a',
      'x-latchkey-environment': 'live',
    });
    expect(JSON.stringify(served)).not.toMatch(new RegExp(`forged|${key.secret}`));
  });
});
