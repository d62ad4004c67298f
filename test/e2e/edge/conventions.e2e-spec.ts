import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { issueKey, issueServiceKey } from '../../support/management.js';

/** As an identity provider makes them. */
const JWT = `eyJhbGciOiJSUzI1NiJ9.${'c2Vj'.repeat(200)}.${'YWJj'.repeat(40)}`;

describe('conventions', () => {
  let app: TestApp;
  let admin: string;
  let service: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    service = (await issueServiceKey(app, admin)).secret;
  });
  afterAll(() => app.stop());

  const verify = (body: Record<string, unknown>) => app.post('/verify', { apiKey: service, body });

  describe('text that is no key, however long', () => {
    it.each([JWT, 'x'.repeat(513), 'é'.repeat(600), `lk_live_${'0'.repeat(20_000)}`])(
      'is MALFORMED: %#',
      async (key) => {
        const verdict = await verify({ key });
        expect([verdict.status, verdict.body.code, verdict.body.valid]).toEqual([200, 'MALFORMED', false]);
        const batch = await app.post('/verify/batch', { apiKey: service, body: { items: [{ key }] } });
        expect(batch.body.results[0].code).toBe('MALFORMED');
      },
    );

    it('is not active, and revokes nothing', async () => {
      const introspected = await app.post('/introspect', {
        token: admin,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        rawBody: `token=${'x'.repeat(9000)}`,
      });
      expect([introspected.status, introspected.body]).toEqual([200, { active: false }]);
      expect((await app.post('/api-keys/self-revoke', { body: { key: JWT } })).status).toBe(202);
    });

    it('is refused by the gateway’s route as a key is that is none', async () => {
      const headers = { 'x-latchkey-gateway-key': service, authorization: `Bearer ${JWT}` };
      const answer = await app.get('/forward-auth', { headers });
      expect([answer.status, answer.headers.get('x-latchkey-code')]).toEqual([401, 'MALFORMED']);
      expect((await app.get('/auth/me', { headers: { 'x-api-key': 'x'.repeat(3000) } })).status).toBe(401);
    });
  });

  describe('a refusal says what is the matter', () => {
    it('with a call that counts as more than the limit, by verify and by explain', async () => {
      const { id, secret } = await issueKey(app, admin, { rateLimitPerMinute: 60 });
      const detail =
        'The call counts as 61 requests, and the key may make 60 per minute: it asks for more than the limit allows.';
      expect((await verify({ key: secret, cost: 61 })).body).toMatchObject({ code: 'RATE_LIMITED', detail });
      const explained = await app.post(`/api-keys/${id}/explain`, { token: admin, body: { cost: 61 } });
      expect(explained.body.detail).toBe(detail);
      expect((await verify({ key: secret, cost: 60 })).body.code).toBe('VALID');
      expect((await verify({ key: secret })).body.detail).toBe('The rate limit per minute is used up.');
    });

    it('with a secret that was replaced, at once and after its overlap', async () => {
      const { id, secret } = await issueKey(app, admin);
      const replace = (overlapSeconds: number) =>
        app.post(`/api-keys/${id}/regenerate?wait=true`, { token: admin, body: { overlapSeconds } });
      const { secretKey: second } = (await replace(0)).body;
      expect((await verify({ key: secret })).body).toMatchObject({
        code: 'REVOKED',
        detail: 'This secret was replaced or ended; the key may have a newer one.',
      });
      const { secretKey: third } = (await replace(1)).body;
      await eventually(async () => expect((await verify({ key: second })).body.code).toBe('EXPIRED'));
      expect((await verify({ key: second })).body.detail).toBe(
        'This secret was replaced by a newer one, and its overlap is over.',
      );
      await app.post(`/api-keys/${id}/revoke?wait=true`, { token: admin, body: {} });
      expect((await verify({ key: third })).body.detail).toBe('The key has been revoked.');
    });
  });

  describe('a search', () => {
    const names = ['Caf\u00e9 one', 'Cafe\u0301 two', '日本語の鍵', '中国日报', 'ภาษาไทย', 'が\u304bく plain'];
    const found = async (text: string, list = 'api-keys') => {
      const answer = await app.get(`/${list}?size=100&search=${encodeURIComponent(text)}`, { token: admin });
      expect([text, answer.status]).toEqual([text, 200]);
      return (answer.body.data as { name: string }[]).map(({ name }) => name).sort();
    };

    beforeAll(async () => {
      for (const name of names) await issueKey(app, admin, { name });
      await app.post('/users', { token: admin, body: { name: 'Zo\u00eb', kind: 'service' } });
    });

    it.each(['caf\u00e9', 'cafe\u0301', 'CAF\u00c9'])('finds both spellings of Unicode by %j', async (text) => {
      expect(await found(text)).toEqual([names[0], names[1]].sort());
    });

    it('finds users by both spellings', async () => {
      expect(await found('Zo\u00eb', 'users')).toEqual(['Zo\u00eb']);
      expect(await found('zoe\u0308', 'users')).toEqual(['Zo\u00eb']);
    });

    it.each([
      ['日本', ['日本語の鍵']],
      ['の鍵', ['日本語の鍵']],
      ['国日', ['中国日报']],
      ['本日', []],
      ['ไท', ['ภาษาไทย']],
      ['がか', ['が\u304bく plain']],
      ['か\u3099か', ['が\u304bく plain']],
    ])('finds two characters of a script without spaces: %s', async (text, expected) => {
      expect(await found(text)).toEqual(expected);
    });

    it.each(['ab', 'é1', '日a', '日', 'e\u0301'])('400 for %j, which is too short', async (text) => {
      const answer = await app.get(`/api-keys?search=${encodeURIComponent(text)}`, { token: admin });
      expect([answer.status, answer.body.errors?.[0]?.path]).toEqual([400, 'search']);
    });
  });

  describe('PUT of what GET has given', () => {
    const keys: [string, Record<string, unknown>][] = [
      ['without limits', {}],
      ['with a budget', { budgetLimitCents: 12.5, budgetType: 'monthly', rateLimitPerDay: 5 }],
      [
        'with lists',
        {
          scopes: ['a'],
          allowedIps: ['10.0.0.0/8'],
          tags: ['x'],
          metadata: { a: 'b' },
          alias: 'put-lists',
          description: 'd',
        },
      ],
      ['that ends', { expiresAt: '2031-01-01T00:00:00Z', validityDays: 3, environment: 'test' }],
    ];

    it.each(keys)('changes nothing of a key %s', async (_, body) => {
      const { id } = await issueKey(app, admin, body);
      const read = (await app.get(`/api-keys/${id}`, { token: admin })).body;
      const put = await app.put(`/api-keys/${id}`, { token: admin, body: read });
      expect([put.status, put.body]).toEqual([200, read]);
    });

    it.each(keys)('changes what was changed in it: a key %s', async (_, body) => {
      const { id } = await issueKey(app, admin, { ...body, alias: null });
      const read = (await app.get(`/api-keys/${id}`, { token: admin })).body;
      const sent = { ...read, name: 'Changed', ownerName: 'Mallory', totalCostCents: 0, status: 'revoked' };
      const put = await app.put(`/api-keys/${id}`, { token: admin, body: sent });
      expect(put.status).toBe(200);
      const { version, updatedAt, ...others } = put.body;
      expect([version === read.version, Date.parse(updatedAt) >= Date.parse(read.updatedAt)]).toEqual([false, true]);
      expect(others).toEqual({ ...read, name: 'Changed', version: undefined, updatedAt: undefined });
    });

    it('renews by alias, and refuses another alias than the path’s', async () => {
      const url = '/api-keys/by-alias/put-back';
      const { apiKey } = (await app.put(url, { token: admin, body: { name: 'x' } })).body;
      const read = (await app.get(`/api-keys/${apiKey.id}`, { token: admin })).body;
      const put = await app.put(url, { token: admin, body: read });
      expect([put.status, put.body.apiKey.id, put.body.apiKey.name]).toEqual([200, apiKey.id, 'x']);
      const other = await app.put(url, { token: admin, body: { ...read, alias: 'other' } });
      expect([other.status, other.body.errors[0].path]).toEqual([400, 'alias']);
    });

    it('still refuses what is no member of a key, and PATCH what cannot be set', async () => {
      const { id } = await issueKey(app, admin);
      const read = (await app.get(`/api-keys/${id}`, { token: admin })).body;
      const put = await app.put(`/api-keys/${id}`, { token: admin, body: { ...read, colour: 'red' } });
      expect([put.status, put.body.errors]).toEqual([
        400,
        [{ path: 'colour', message: 'is not a field of this request' }],
      ]);
      expect((await app.patch(`/api-keys/${id}`, { token: admin, body: { status: 'active' } })).status).toBe(400);
    });
  });
});
