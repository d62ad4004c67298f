import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { type IssuedKey, Management, issueKey, issueServiceKey } from '../../support/management.js';
import { type HeaderList, askAs, portOf } from './gateway.js';

const IDENTITY = [
  'x-latchkey-key-id',
  'x-latchkey-owner-id',
  'x-latchkey-scopes',
  'x-latchkey-tags',
  'x-latchkey-reservation-id',
  'x-latchkey-environment',
];

describe('ALL /forward-auth', () => {
  let app: TestApp;
  let port: number;
  let admin: string;
  let me: string;
  let gateway: IssuedKey;
  let management: Management;

  /** Asks with the gateway's key; `query` is the gateway's. */
  const ask = (query: string, headers: HeaderList = [], method = 'GET', body = '') =>
    askAs(
      port,
      method,
      `/api/v1/forward-auth${query === '' ? '' : `?${query}`}`,
      [['X-Latchkey-Gateway-Key', gateway.secret], ...headers],
      body,
    );
  const bearer = (key: { secret: string }): HeaderList => [['Authorization', `Bearer ${key.secret}`]];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000', TRUSTED_PROXIES: '127.0.0.1, 10.0.0.0/8' });
    port = portOf(app);
    admin = await app.adminToken();
    me = (await app.get('/auth/me', { token: admin })).body.user.id;
    gateway = await issueServiceKey(app, admin);
    management = new Management(app);
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('tells who the client is, in all headers, and has no body', async () => {
      const key = await issueKey(app, admin, { scopes: ['chat:read', 'chat:write'], tags: ['team:a', 'b'] });
      const { status, headers, text } = await ask('scope=chat:read', bearer(key));
      expect([status, text, headers['content-length'], headers['cache-control']]).toEqual([200, '', '0', 'no-store']);
      expect(IDENTITY.map((name) => headers[name])).toEqual([
        key.id,
        me,
        'chat:read chat:write',
        'team:a b',
        '',
        'live',
      ]);
    });

    it('sends each identity header though there is nothing to say, and nothing that is meant for browsers', async () => {
      const { headers } = await ask('', bearer(await issueKey(app, admin)));
      expect(IDENTITY.slice(2).map((name) => headers[name])).toEqual(['', '', '', 'live']);
      expect(Object.keys(headers).sort()).toEqual(
        ['cache-control', 'connection', 'content-length', 'date', 'x-request-id', ...IDENTITY].sort(),
      );
    });

    it.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'])(
      'answers the method %s, whatever its body',
      async (method) => {
        const key = await issueKey(app, admin);
        const body = ['GET', 'HEAD', 'OPTIONS', 'TRACE'].includes(method) ? '' : '{"not": json';
        const sent: HeaderList =
          body === ''
            ? []
            : [
                ['Content-Type', 'application/json'],
                ['Content-Length', String(body.length)],
              ];
        expect((await ask('', [...bearer(key), ...sent], method, body)).status).toBe(200);
        expect((await ask('scope=other', [...bearer(key), ...sent], method, body)).status).toBe(403);
      },
    );

    it.each([
      ['application/json', '{"__proto__": 1}'],
      ['application/x-www-form-urlencoded', 'a=1&a=2'],
      ['text/plain', 'x'],
      ['multipart/form-data; boundary=x', '--x--'],
    ])('does not look at a body of %s', async (type, body) => {
      const key = await issueKey(app, admin);
      expect(
        (await ask('', [...bearer(key), ['Content-Type', type], ['Content-Length', String(body.length)]], 'POST', body))
          .status,
      ).toBe(200);
    });

    it.each([
      ['X-API-Key', (secret: string): HeaderList => [['X-API-Key', secret]]],
      ['bearer in small letters', (secret: string): HeaderList => [['authorization', `bearer ${secret}`]]],
      [
        'both headers, when they agree',
        (secret: string): HeaderList => [
          ['Authorization', `Bearer ${secret}`],
          ['X-API-Key', secret],
        ],
      ],
      [
        'X-API-Key beside credentials for another service',
        (secret: string): HeaderList => [
          ['Authorization', 'Basic YTpi'],
          ['X-API-Key', secret],
        ],
      ],
      [
        'X-API-Key beside a JWT for another service',
        (secret: string): HeaderList => [
          ['Authorization', 'Bearer aaa.bbb.ccc'],
          ['X-API-Key', secret],
        ],
      ],
    ])('takes the key from %s', async (_, headers) => {
      const key = await issueKey(app, admin);
      expect((await ask('', headers(key.secret))).headers['x-latchkey-key-id']).toBe(key.id);
    });

    it('passes restrictions on: scopes by AND, model, chatbot', async () => {
      const key = await issueKey(app, admin, {
        scopes: ['a', 'b+c'],
        allowedModels: ['gpt-*'],
        allowedChatbots: ['support-bot'],
      });
      const query = 'scope=a&scope=b%2Bc&scope=a&model=gpt-4o&chatbot=support%2Dbot';
      expect((await ask(query, bearer(key))).status).toBe(200);
      expect((await ask(query.replace('gpt-4o', 'claude'), bearer(key))).headers['x-latchkey-code']).toBe(
        'MODEL_NOT_ALLOWED',
      );
    });

    it('says what is left of the rate limits', async () => {
      const key = await issueKey(app, admin, { rateLimitPerMinute: 60, rateLimitPerDay: 1000 });
      const { headers } = await ask('cost=5', bearer(key));
      expect(headers['ratelimit-policy']).toBe('"minute";q=60;w=60, "day";q=1000;w=86400');
      expect(headers['ratelimit']).toMatch(/^"minute";r=\d+;t=\d+, "day";r=\d+;t=\d+$/);
      expect(headers['ratelimit']).toContain('"minute";r=55');
    });

    it('reserves, and whose gateway it is may settle', async () => {
      const key = await issueKey(app, admin, { budgetLimitCents: 10 });
      const { headers } = await ask('reserveCents=4.5&reservationTtlSeconds=600', bearer(key));
      const reservationId = headers['x-latchkey-reservation-id'];
      expect(reservationId).toMatch(/^[\w-]{50,512}$/);
      const settled = await app.post('/usage', {
        apiKey: gateway.secret,
        body: { events: [{ id: 'e1', reservationId, costCents: 2 }] },
      });
      expect([settled.status, settled.body.accepted]).toEqual([200, 1]);
      const { body } = await app.get(`/api-keys/${key.id}/usage`, { token: admin });
      expect(body.budget).toMatchObject({ spentCents: 2 });
    });

    it('believes no identity that came with the question', async () => {
      const key = await issueKey(app, admin);
      const forged: HeaderList = IDENTITY.map((name) => [name, 'forged'] as const);
      const { headers } = await ask('', [
        ...bearer(key),
        ...forged,
        ['X-Latchkey-Ask', 'scope=never'],
        ['X-Latchkey-Code', 'VALID'],
      ]);
      expect(IDENTITY.map((name) => headers[name])).toEqual([key.id, me, '', '', '', 'live']);
    });

    it('keeps its headers below 4 KiB, with whole entries alone', async () => {
      const scopes = Array.from({ length: 100 }, (_, index) => `scope:${index}:${'x'.repeat(100)}`);
      const tags = Array.from({ length: 50 }, (_, index) => `tag:${index}:${'y'.repeat(50)}`);
      const key = await issueKey(app, admin, {
        scopes,
        tags,
        budgetLimitCents: 10,
        rateLimitPerMinute: 10,
        rateLimitPerHour: 10,
        rateLimitPerDay: 10,
      });
      const { status, headers } = await ask('reserveCents=1', bearer(key));
      expect(status).toBe(200);
      const told = headers['x-latchkey-scopes']!.split(' ');
      expect(told).toEqual(scopes.slice(0, told.length));
      expect(told.length).toBeGreaterThan(5);
      expect(headers['x-latchkey-tags']!.split(' ').every((tag) => tags.includes(tag))).toBe(true);
      expect(
        Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + String(value).length + 4, 0),
      ).toBeLessThan(4000);
    });

    it('says nothing of metadata, whatever is in it', async () => {
      const key = await issueKey(app, admin, {
        name: 'Ä X-Evil: 1',
        metadata: { a: 'b\r\nX-Evil: 1' },
        description: '\u0007',
      });
      const { status, headers } = await ask('', bearer(key));
      expect([status, headers['x-evil']]).toEqual([200, undefined]);
      expect(JSON.stringify(headers)).not.toContain('Evil');
    });

    it('counts and charges like a verify, refusals included', async () => {
      const key = await issueKey(app, admin, { rateLimitPerMinute: 3 });
      await ask('', bearer(key));
      await app.post('/verify', { apiKey: gateway.secret, body: { key: key.secret } });
      await ask('', bearer(key), 'POST');
      expect((await ask('', bearer(key))).status).toBe(429);
      await eventually(async () => {
        const { body } = await app.get(`/api-keys/${key.id}/usage`, { token: admin });
        expect([body.acceptedVerifiesToday, body.refusalsToday]).toEqual([3, { RATE_LIMITED: 1 }]);
        expect(body.lastUsedAt).not.toBeNull();
      });
    });

    it('does not touch the gateway’s own limits', async () => {
      const limited = await issueKey(app, admin, {
        roles: ['gateway'],
        rateLimitPerMinute: 1,
        allowedModels: ['none'],
      });
      const key = await issueKey(app, admin);
      for (let call = 0; call < 3; call += 1) {
        expect(
          (
            await askAs(port, 'GET', '/api/v1/forward-auth', [
              ['X-Latchkey-Gateway-Key', limited.secret],
              ...bearer(key),
            ])
          ).status,
        ).toBe(200);
      }
    });
  });

  describe('the client’s address', () => {
    const allowed = (forwardedFor: HeaderList, allowedIps = ['203.0.113.7']) =>
      issueKey(app, admin, { allowedIps }).then(
        async (key) => (await ask('', [...bearer(key), ...forwardedFor])).headers['x-latchkey-code'] ?? 'allowed',
      );

    it.each([
      ['as nginx and Caddy write it', [['X-Forwarded-For', '203.0.113.7']], 'allowed'],
      ['behind another trusted proxy', [['X-Forwarded-For', '203.0.113.7, 10.0.0.9']], 'allowed'],
      [
        'behind another trusted proxy, in two headers',
        [
          ['X-Forwarded-For', '203.0.113.7'],
          ['X-Forwarded-For', '10.0.0.9'],
        ],
        'allowed',
      ],
      ['forged in front of the true one', [['X-Forwarded-For', '203.0.113.7, 198.51.100.1']], 'IP_NOT_ALLOWED'],
      [
        'forged with other headers',
        [
          ['X-Forwarded-For', '198.51.100.1'],
          ['X-Real-IP', '203.0.113.7'],
          ['Forwarded', 'for=203.0.113.7'],
          ['X-Client-IP', '203.0.113.7'],
          ['X-Envoy-External-Address', '203.0.113.7'],
        ],
        'IP_NOT_ALLOWED',
      ],
      ['absent', [], 'IP_NOT_ALLOWED'],
      ['empty', [['X-Forwarded-For', '']], 'IP_NOT_ALLOWED'],
      ['no address', [['X-Forwarded-For', '203.0.113.7, unknown']], 'IP_NOT_ALLOWED'],
      ['with a port', [['X-Forwarded-For', '203.0.113.7:443']], 'allowed'],
      ['mapped, with brackets and a port', [['X-Forwarded-For', '[::ffff:203.0.113.7]:443']], 'allowed'],
      ['another one with a port', [['X-Forwarded-For', '203.0.113.8:443']], 'IP_NOT_ALLOWED'],
    ] as [string, HeaderList, string][])('%s', async (_, headers, outcome) => {
      expect(await allowed(headers)).toBe(outcome);
    });

    it.each(['unknown', '_hidden', 'garbage', 'unix:', '203.0.113.7:port'])(
      'is unknown where a proxy writes %s: refused for a key with a list, saying so, and for no other',
      async (written) => {
        const free = await issueKey(app, admin);
        expect((await ask('', [...bearer(free), ['X-Forwarded-For', written]])).status).toBe(200);
        const listed = await issueKey(app, admin, { allowedIps: ['203.0.113.7'] });
        const { status, problem } = await ask('', [...bearer(listed), ['X-Forwarded-For', written]]);
        expect([status, problem.code, problem.detail]).toEqual([
          403,
          'IP_NOT_ALLOWED',
          'The key is restricted by address, and the address of the client is unknown: no proxy in TRUSTED_PROXIES named it in X-Forwarded-For.',
        ]);
      },
    );

    it('is never the gateway’s own, for want of another', async () => {
      expect(await allowed([], ['127.0.0.0/8'])).toBe('IP_NOT_ALLOWED');
      expect(await allowed([['X-Forwarded-For', 'unknown']], ['127.0.0.0/8'])).toBe('IP_NOT_ALLOWED');
      expect(await allowed([['X-Forwarded-For', '127.0.0.1']], ['127.0.0.0/8'])).toBe('IP_NOT_ALLOWED');
    });
  });

  describe('400', () => {
    it.each([
      ['scopes=a', 'scopes'],
      ['mode=apache', 'mode'],
      ['mode=nginx&mode=nginx', 'mode'],
      ['cost=-1', 'cost'],
      ['cost=0', 'cost'],
      ['cost=1e1', 'cost'],
      ['cost=01', 'cost'],
      ['cost=1001', 'cost'],
      ['cost=1&cost=2', 'cost'],
      ['cost=', 'cost'],
      ['model=a&model=b', 'model'],
      ['model=', 'model'],
      [`model=${'m'.repeat(129)}`, 'model'],
      ['reserveCents=-1', 'reserveCents'],
      ['reserveCents=1e-7', 'reserveCents'],
      ['reserveCents=1000000001', 'reserveCents'],
      ['reservationTtlSeconds=1801', 'reservationTtlSeconds'],
      ['scope=', 'scopes.0'],
      ['scope=a%20b', 'scopes.0'],
      ['scope=a+b', 'scopes.0'],
      ['scope=%22', 'scopes.0'],
      ['dryRun=true', 'dryRun'],
      ['__proto__=x', '__proto__'],
      ['constructor=x', 'constructor'],
    ])('is the answer to the gateway’s query %s', async (query, path) => {
      const { status, problem, headers } = await ask(query, bearer(gateway));
      expect([status, problem.code, headers['x-latchkey-code']]).toEqual([
        400,
        'VALIDATION_FAILED',
        'VALIDATION_FAILED',
      ]);
      expect(problem.errors.map((error: { path: string }) => error.path)).toContain(path);
    });

    it('is the answer to a key in the URL, ours or the client’s, however it is encoded', async () => {
      const key = await issueKey(app, admin);
      expect((await ask(`key=${key.secret}`)).status).toBe(400);
      expect((await ask(`model=${key.secret}`, bearer(key))).status).toBe(400);
      for (const uri of [
        `/v1/chat?api_key=${key.secret}`,
        `/v1/${key.secret}`,
        `/v1?k=${encodeURIComponent(key.secret).replace('_', '%5F')}`,
      ]) {
        const { status, problem } = await ask('', [...bearer(key), ['X-Forwarded-Uri', uri]]);
        expect([status, problem.errors]).toEqual([400, [{ path: 'url', message: 'must not contain a key' }]]);
        expect((await ask('mode=nginx', [...bearer(key), ['X-Forwarded-Uri', uri]])).status).toBe(403);
      }
      expect((await ask('', [...bearer(key), ['X-Forwarded-Uri', '/search?q=100%']])).status).toBe(200);
    });
  });

  describe('401', () => {
    it('is the answer to a client without a key, with a challenge that says nothing', async () => {
      for (const headers of [
        [],
        [['X-API-Key', '']],
        [['Authorization', 'Basic YTpi']],
        [['Cookie', 'latchkey_session=x']],
      ] as HeaderList[]) {
        const { status, headers: answered, problem } = await ask('', headers);
        expect([status, answered['www-authenticate'], answered['x-latchkey-code']]).toEqual([
          401,
          'Bearer realm="latchkey"',
          'UNAUTHENTICATED',
        ]);
        expect(problem).toMatchObject({ status: 401, code: 'UNAUTHENTICATED', requestId: answered['x-request-id'] });
      }
    });

    it.each([
      ['MALFORMED', 'lk_live_short'],
      ['NOT_FOUND', `lk_live_${'a'.repeat(63)}`],
      ['NOT_FOUND', 'some-other-systems-key-0123456789'],
      ['MALFORMED', 'x'.repeat(5000)],
    ])('says %s of a key that is none', async (code, secret) => {
      const { status, headers, problem } = await ask('', bearer({ secret }));
      expect([status, headers['x-latchkey-code'], problem.code, headers['www-authenticate']]).toEqual([
        401,
        code,
        code,
        'Bearer realm="latchkey", error="invalid_token"',
      ]);
      expect(IDENTITY.filter((name) => name in headers)).toEqual([]);
    });

    it.each([
      ['REVOKED', (id: string) => management.revoke(id)],
      ['DISABLED', (id: string) => management.deactivate(id)],
      ['EXPIRED', (id: string) => management.expire(id)],
    ])('says %s as soon as the key is', async (code, change) => {
      const key = await issueKey(app, admin);
      expect((await ask('', bearer(key))).status).toBe(200);
      await change(key.id);
      await eventually(async () => {
        const { status, headers } = await ask('mode=nginx', bearer(key));
        expect([status, headers['x-latchkey-code']]).toEqual([401, code]);
      });
    });

    it('says OWNER_INACTIVE of a key whose owner is disabled', async () => {
      const owner = await app.addUser(['creator']);
      const key = await issueKey(app, admin, { ownerId: owner.id });
      await management.disableOwner(owner.id);
      await eventually(async () =>
        expect((await ask('', bearer(key))).headers['x-latchkey-code']).toBe('OWNER_INACTIVE'),
      );
    });

    it('is the answer to keys that contradict each other', async () => {
      const [one, other] = [await issueKey(app, admin), await issueKey(app, admin)];
      for (const headers of [
        [
          ['Authorization', `Bearer ${one.secret}`],
          ['X-API-Key', other.secret],
        ],
        [
          ['X-API-Key', one.secret],
          ['X-API-Key', other.secret],
        ],
        [
          ['X-API-Key', one.secret],
          ['X-API-Key', one.secret],
        ],
        [
          ['Authorization', `Bearer ${one.secret}`],
          ['Authorization', `Bearer ${other.secret}`],
        ],
        [
          ['Authorization', `Bearer x`],
          ['X-API-Key', one.secret],
        ],
      ] as HeaderList[]) {
        const { status, problem } = await ask('', headers);
        expect([status, problem.code]).toEqual([401, 'UNAUTHENTICATED']);
      }
    });

    it('is the answer to an end user’s session: it is not a key', async () => {
      expect((await ask('', [['Authorization', `Bearer ${admin}`]])).status).toBe(401);
    });
  });

  describe('401 GATEWAY_UNAUTHENTICATED', () => {
    const as = (headers: HeaderList) => askAs(port, 'GET', '/api/v1/forward-auth', headers);

    it('is the answer to a caller that is no gateway, whatever else is presented', async () => {
      const key = await issueKey(app, admin);
      for (const headers of [
        [],
        bearer(key),
        bearer(gateway),
        [['Authorization', `Bearer ${admin}`]],
        [['X-Latchkey-Gateway-Key', ''], ...bearer(key)],
        [['X-Latchkey-Gateway-Key', 'lk_live_x'], ...bearer(key)],
        [['X-Latchkey-Gateway-Key', admin], ...bearer(key)],
        [['X-Latchkey-Gateway-Key', gateway.secret], ['X-Latchkey-Gateway-Key', gateway.secret], ...bearer(key)],
        [['X-Latchkey-Gateway-Key', `Bearer ${gateway.secret}`], ...bearer(key)],
      ] as HeaderList[]) {
        const { status, headers: answered, problem } = await as(headers);
        expect([status, problem.code, answered['x-latchkey-code']]).toEqual([
          401,
          'GATEWAY_UNAUTHENTICATED',
          'GATEWAY_UNAUTHENTICATED',
        ]);
        expect(answered['www-authenticate']).toMatch(/^Bearer/);
      }
    });

    it('is the answer to a gateway whose key is revoked, expired or disabled', async () => {
      const key = await issueKey(app, admin);
      for (const change of [
        management.revoke.bind(management),
        management.expire.bind(management),
        management.deactivate.bind(management),
      ]) {
        const own = await issueServiceKey(app, admin);
        const headers: HeaderList = [['X-Latchkey-Gateway-Key', own.secret], ...bearer(key)];
        expect((await as(headers)).status).toBe(200);
        await change(own.id);
        await eventually(async () => expect((await as(headers)).problem?.code).toBe('GATEWAY_UNAUTHENTICATED'));
      }
    });

    it('holds the gateway’s address list against the gateway, and not against its client', async () => {
      const key = await issueKey(app, admin);
      const near = await issueKey(app, admin, { roles: ['gateway'], allowedIps: ['127.0.0.1'] });
      const far = await issueKey(app, admin, { roles: ['gateway'], allowedIps: ['203.0.113.7'] });
      const client = [...bearer(key), ['X-Forwarded-For', '203.0.113.7'] as const];
      expect((await as([['X-Latchkey-Gateway-Key', near.secret], ...client])).status).toBe(200);
      expect((await as([['X-Latchkey-Gateway-Key', far.secret], ...client])).problem.code).toBe(
        'GATEWAY_UNAUTHENTICATED',
      );
    });
  });

  describe('403', () => {
    it('is the answer to a gateway whose key lacks the permission, and is in the trail', async () => {
      const [own, key] = [await issueKey(app, admin), await issueKey(app, admin)];
      const { status, problem, headers } = await askAs(port, 'POST', '/api/v1/forward-auth', [
        ['X-Latchkey-Gateway-Key', own.secret],
        ...bearer(key),
        ['X-Forwarded-For', '203.0.113.7'],
      ]);
      expect([status, problem.code, problem.permission, headers['x-latchkey-code']]).toEqual([
        403,
        'PERMISSION_DENIED',
        'platform:api-keys:verify',
        'PERMISSION_DENIED',
      ]);
      const [event] = await app.dataSource.query<{ actor_id: string; ip: string }[]>(
        `SELECT actor_id, ip FROM audit_event WHERE outcome = 'refused' AND actor_id = $1`,
        [own.id],
      );
      expect(event).toEqual({ actor_id: own.id, ip: '127.0.0.1' });
    });

    it('is the answer to the gateway’s own key as its client’s, also by another of its secrets, and to the two exchanged', async () => {
      const key = await issueKey(app, admin);
      expect((await ask('', bearer(gateway))).problem.code).toBe('GATEWAY_KEY_PRESENTED');
      expect((await ask('', [['X-API-Key', gateway.secret]])).problem.code).toBe('GATEWAY_KEY_PRESENTED');
      const own = await issueServiceKey(app, admin);
      const rotated = await app.post(`/api-keys/${own.id}/regenerate`, { token: admin, body: { overlapSeconds: 60 } });
      await app.applied();
      const twice = await askAs(port, 'GET', '/api/v1/forward-auth', [
        ['X-Latchkey-Gateway-Key', own.secret],
        ...bearer({ secret: rotated.body.secretKey }),
      ]);
      expect(twice.problem.code).toBe('GATEWAY_KEY_PRESENTED');
      const exchanged = await askAs(port, 'GET', '/api/v1/forward-auth', [
        ['X-Latchkey-Gateway-Key', key.secret],
        ...bearer(gateway),
      ]);
      expect(exchanged.problem.code).toBe('PERMISSION_DENIED');
    });

    it.each([
      ['IP_NOT_ALLOWED', { allowedIps: ['192.0.2.1'] }, ''],
      ['MODEL_NOT_ALLOWED', { allowedModels: ['gpt-*'] }, 'model=claude'],
      ['MODEL_NOT_ALLOWED', { allowedModels: ['gpt-*'] }, ''],
      ['CHATBOT_NOT_ALLOWED', { allowedChatbots: ['a'] }, 'chatbot=b'],
      ['BUDGET_EXCEEDED', { budgetLimitCents: 0 }, ''],
    ])('says %s of %j', async (code, fields, query) => {
      const key = await issueKey(app, admin, fields);
      for (const mode of ['', '&mode=nginx']) {
        const { status, headers, problem } = await ask(`${query}${mode}`.replace(/^&/, ''), bearer(key));
        expect([status, headers['x-latchkey-code'], problem.code, headers['www-authenticate']]).toEqual([
          403,
          code,
          code,
          undefined,
        ]);
      }
    });

    it('refuses a key of another environment than the gateway asks for', async () => {
      const key = await issueKey(app, admin, { environment: 'test' });
      const refused = await ask('environment=live', bearer(key));
      expect([refused.status, refused.headers['x-latchkey-code']]).toEqual([403, 'WRONG_ENVIRONMENT']);
      const passed = await ask('environment=test', bearer(key));
      expect([passed.status, passed.headers['x-latchkey-environment']]).toEqual([200, 'test']);
    });

    it('names the scopes that were asked for, as RFC 6750 has it', async () => {
      const { status, headers } = await ask('scope=a&scope=b', bearer(await issueKey(app, admin, { scopes: ['a'] })));
      expect([status, headers['x-latchkey-code']]).toEqual([403, 'INSUFFICIENT_SCOPE']);
      expect(headers['www-authenticate']).toBe('Bearer realm="latchkey", error="insufficient_scope", scope="a b"');
    });

    it('writes no client’s refusal into the trail', async () => {
      const key = await issueKey(app, admin);
      const count = async () =>
        Number(
          (
            await app.dataSource.query<{ n: string }[]>(
              `SELECT count(*) AS n FROM audit_event WHERE outcome = 'refused'`,
            )
          )[0]!.n,
        );
      const before = await count();
      for (let call = 0; call < 3; call += 1) expect((await ask('scope=a', bearer(key))).status).toBe(403);
      expect(await count()).toBe(before);
    });
  });

  describe('429', () => {
    it('says when to come back; to nginx as 403', async () => {
      const key = await issueKey(app, admin, { rateLimitPerMinute: 1 });
      expect((await ask('', bearer(key))).status).toBe(200);
      const plain = await ask('', bearer(key));
      expect([plain.status, plain.headers['x-latchkey-code'], plain.problem.status]).toEqual([
        429,
        'RATE_LIMITED',
        429,
      ]);
      expect(Number(plain.headers['retry-after'])).toBeGreaterThan(0);
      expect(plain.headers['ratelimit']).toContain('"minute";r=0;t=');
      const nginx = await ask('mode=nginx', bearer(key));
      expect([nginx.status, nginx.headers['x-latchkey-code'], nginx.problem.code, nginx.problem.status]).toEqual([
        403,
        'RATE_LIMITED',
        'RATE_LIMITED',
        403,
      ]);
      expect(Number(nginx.headers['retry-after'])).toBeGreaterThan(0);
    });

    it('says no time where waiting does not help', async () => {
      const key = await issueKey(app, admin, { rateLimitPerMinute: 3 });
      const { status, headers } = await ask('cost=4', bearer(key));
      expect([status, headers['retry-after']]).toEqual([429, undefined]);
    });
  });
});

describe('a gateway that TRUSTED_PROXIES does not name', () => {
  it('is not believed about its client’s address', async () => {
    const app = await TestApp.start({ TRUSTED_PROXIES: '10.0.0.0/8' });
    const token = await app.adminToken();
    const gateway = await issueServiceKey(app, token);
    const key = await issueKey(app, token, { allowedIps: ['203.0.113.7', '127.0.0.1'] });
    const headers: HeaderList = [
      ['X-Latchkey-Gateway-Key', gateway.secret],
      ['X-API-Key', key.secret],
      ['X-Forwarded-For', '203.0.113.7'],
    ];
    const answer = await askAs(portOf(app), 'GET', '/api/v1/forward-auth', headers);
    await app.stop();
    expect(answer.headers['x-latchkey-code']).toBe('IP_NOT_ALLOWED');
  });
});

describe('GATEWAY_PORT', () => {
  let app: TestApp;
  let own: number;
  let admin: string;
  let key: IssuedKey;
  const bearer = (): HeaderList => [['Authorization', `Bearer ${key.secret}`]];

  beforeAll(async () => {
    const { GatewayListener } = await import('../../../src/gateways/gateway-listener.js');
    app = await TestApp.start({ GATEWAY_PORT: '0', TRUSTED_PROXIES: '127.0.0.1' });
    own = app.app.get(GatewayListener, { strict: false }).port!;
    admin = await app.adminToken();
    key = await issueKey(app, admin, { budgetLimitCents: 10, allowedIps: ['203.0.113.7'] });
  });
  afterAll(() => app.stop());

  it('answers gateways without a key, and the main port does not', async () => {
    const headers: HeaderList = [...bearer(), ['X-Forwarded-For', '203.0.113.7']];
    const { status, headers: answered } = await askAs(own, 'GET', '/api/v1/forward-auth', headers);
    expect([status, answered['x-latchkey-key-id']]).toEqual([200, key.id]);
    expect((await askAs(own, 'GET', '/api/v1/ext-authz/any', headers)).status).toBe(200);
    expect((await askAs(own, 'GET', '/api/v1/forward-auth', [])).problem.code).toBe('UNAUTHENTICATED');
    expect((await askAs(portOf(app), 'GET', '/api/v1/forward-auth', headers)).problem.code).toBe(
      'GATEWAY_UNAUTHENTICATED',
    );
  });

  it('looks at a key that is shown all the same', async () => {
    expect(
      (await askAs(own, 'GET', '/api/v1/forward-auth', [...bearer(), ['X-Latchkey-Gateway-Key', 'no']])).problem.code,
    ).toBe('GATEWAY_UNAUTHENTICATED');
  });

  it('reserves nothing that nobody could settle', async () => {
    const { status, problem } = await askAs(own, 'GET', '/api/v1/forward-auth?reserveCents=1', bearer());
    expect([status, problem.errors[0].path]).toEqual([400, 'reserveCents']);
  });

  it.each([
    '/api/v1/verify',
    '/api/v1/api-keys',
    '/health/ready',
    '/console',
    '/docs',
    '/api/v1/forward-authx',
    '/api/v1/forward-auth/../api-keys',
    '/api/v1/introspect',
    '//api/v1/forward-auth',
    '/',
  ])('serves nothing else: %s', async (path) => {
    expect((await askAs(own, 'GET', path, [['Authorization', `Bearer ${admin}`]])).status).toBe(404);
  });
});
