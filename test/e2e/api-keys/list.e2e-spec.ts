import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TestApp, type TestUser } from '../../support/app.js';
import { type StoredKey, storeKeys } from '../../support/stored-keys.js';

const DAY_MS = 86_400_000;
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS);

const ids = (answer: { body: { data: { id: string }[] } }) => answer.body.data.map((key) => key.id);

describe('GET /api-keys', () => {
  let app: TestApp;
  let admin: string;
  let ada: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    ada = await app.addUser();
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('gives the newest ten keys and the length of the list', async () => {
      const owner = await app.addUser();
      const stored = await storeKeys(
        app,
        Array.from({ length: 12 }, (_, index) => ({ ownerId: owner.id, createdAt: daysAgo(index) })),
      );
      const answer = await app.get('/api-keys', { token: owner.token });
      expect(answer.status).toBe(200);
      expect(answer.body.meta).toMatchObject({ total: 12, page: 1, size: 10, totalIsCapped: false });
      expect(ids(answer)).toEqual(stored.slice(0, 10));
      expect(answer.body.data[0]).toMatchObject({
        ownerId: owner.id,
        ownerName: `User ${owner.email}`,
        status: 'active',
        keyPrefix: expect.stringMatching(/^lk_live_/),
      });
    });

    it('gives an empty page past the end, with the length of the list', async () => {
      const owner = await app.addUser();
      await storeKeys(app, [{ ownerId: owner.id }]);
      const answer = await app.get('/api-keys?page=7&size=50', { token: owner.token });
      expect(answer.body).toEqual({
        data: [],
        meta: { total: 1, page: 7, size: 50, totalIsCapped: false, nextCursor: null },
      });
    });

    it('never shows a MAC or a secret', async () => {
      const { body } = await app.post('/api-keys', { token: admin });
      const answer = await app.get(`/api-keys?search=${body.apiKey.keyPrefix}`, { token: admin });
      expect(ids(answer)).toEqual([body.apiKey.id]);
      expect(JSON.stringify(answer.body)).not.toContain(body.secretKey);
      expect(JSON.stringify(answer.body)).not.toMatch(/"mac"|pepper/);
    });

    it('counts to 10 000 and says when there are more', async () => {
      const owner = await app.addUser();
      await storeKeys(
        app,
        Array.from({ length: 10_001 }, () => ({ ownerId: owner.id, tags: ['many'] })),
      );
      const capped = await app.get('/api-keys?tag=many&size=100&page=100', { token: admin });
      expect(capped.body.meta).toMatchObject({ total: 10_000, page: 100, size: 100, totalIsCapped: true });
      expect(capped.body.data).toHaveLength(100);
      await app.dataSource.query(
        `DELETE FROM api_key WHERE id IN (SELECT id FROM api_key WHERE tags = '{many}' LIMIT 1)`,
      );
      const exact = await app.get('/api-keys?tag=many&size=1', { token: admin });
      expect(exact.body.meta).toMatchObject({ total: 10_000, totalIsCapped: false });
      await app.dataSource.query(`DELETE FROM api_key WHERE tags = '{many}'`);
    });

    describe('shows', () => {
      it('a user the own keys and those of the managed service accounts', async () => {
        const manager = await app.addUser();
        const robot = await app.addUser([], { kind: 'service', managerIds: [manager.id] });
        const [own, managed] = await storeKeys(app, [
          { ownerId: manager.id, createdAt: daysAgo(1) },
          { ownerId: robot.id, createdAt: daysAgo(2) },
        ]);
        await storeKeys(app, [{ ownerId: ada.id }]);
        expect(ids(await app.get('/api-keys', { token: manager.token }))).toEqual([own, managed]);
        expect(ids(await app.get(`/api-keys?ownerId=${robot.id.toUpperCase()}`, { token: manager.token }))).toEqual([
          managed,
        ]);
      });

      it('a key itself, whatever else its owner has', async () => {
        const owner = await app.addUser();
        await storeKeys(app, [{ ownerId: owner.id }]);
        const { body } = await app.post('/api-keys', { token: owner.token });
        expect(ids(await app.get('/api-keys', { apiKey: body.secretKey }))).toEqual([body.apiKey.id]);
      });

      it('a key with the permission all keys', async () => {
        await app.addRole('reader', ['platform:api-keys:read']);
        const owner = await app.addUser(['creator', 'reader']);
        const [others] = await storeKeys(app, [{ ownerId: ada.id, tags: ['seen-by-a-key'] }]);
        const { body } = await app.post('/api-keys', { token: owner.token, body: { roles: ['reader'] } });
        expect(ids(await app.get('/api-keys?tag=seen-by-a-key', { apiKey: body.secretKey }))).toEqual([others]);
      });
    });

    describe('filters', () => {
      let owner: TestUser;
      let keys: Record<'plain' | 'other' | 'expired' | 'ends' | 'off' | 'gone', string>;

      beforeAll(async () => {
        owner = await app.addUser();
        const stored: (StoredKey & { as: keyof typeof keys })[] = [
          {
            as: 'plain',
            ownerId: owner.id,
            name: 'Billing 100%',
            alias: 'bill_ing',
            description: 'für Rechnungen',
            tags: ['a', 'b'],
            scopes: ['chat:read', 'chat:write'],
            createdAt: daysAgo(100),
          },
          {
            as: 'other',
            ownerId: owner.id,
            name: 'Billing 1000',
            environment: 'test',
            tags: ['a'],
            scopes: ['chat:read'],
            createdAt: daysAgo(99),
            lastUsedAt: daysAgo(95),
          },
          {
            as: 'expired',
            ownerId: owner.id,
            name: 'billXing',
            expiresAt: daysAgo(1),
            createdAt: daysAgo(98),
            lastUsedAt: daysAgo(2),
          },
          { as: 'ends', ownerId: owner.id, name: 'Ends', expiresAt: daysAgo(-5), createdAt: daysAgo(3) },
          { as: 'off', ownerId: owner.id, name: 'Off', isActive: false, expiresAt: daysAgo(4), createdAt: daysAgo(97) },
          {
            as: 'gone',
            ownerId: owner.id,
            name: 'Gone',
            revokedAt: daysAgo(1),
            isActive: false,
            createdAt: daysAgo(96),
          },
        ];
        const stored_ids = await storeKeys(app, stored);
        keys = Object.fromEntries(stored.map((key, index) => [key.as, stored_ids[index]])) as typeof keys;
      });

      it.each<[string, (keyof typeof keys)[]]>([
        ['status=active', ['plain', 'other', 'ends']],
        ['status=expired', ['expired']],
        ['status=inactive', ['off']],
        ['status=revoked', ['gone']],
        ['isActive=false', ['off', 'gone']],
        ['isActive=true', ['plain', 'other', 'expired', 'ends']],
        ['environment=test', ['other']],
        ['tag=a', ['plain', 'other']],
        ['tag=a&tag=b', ['plain']],
        ['tag=A', []],
        ['scope=chat:read', ['plain', 'other']],
        ['scope=chat:read&scope=chat:write', ['plain']],
        ['search=billing', ['plain', 'other']],
        ['search=BILLING%201', ['plain', 'other']],
        ['search=100%25', ['plain']],
        ['search=ll_in', ['plain']],
        ['search=l%25i', []],
        ['search=F%C3%9CR', ['plain']],
        ['search=ing%5C', []],
        ['expiresBefore=2000-01-01T00:00:00Z', []],
        [`expiresBefore=${daysAgo(-1).toISOString()}`, ['expired', 'off']],
        [`unusedSince=${daysAgo(90).toISOString()}`, ['plain', 'other', 'off', 'gone']],
        ['neverUsed=true&status=active', ['plain', 'ends']],
        ['neverUsed=false', ['other', 'expired']],
        ['hasExpiry=true', ['expired', 'ends', 'off']],
        ['hasExpiry=false&status=active', ['plain', 'other']],
        ['budgetUsedAbove=0', []],
        ['tag=a&environment=live&status=active', ['plain']],
      ])('by %s', async (query, expected) => {
        const answer = await app.get(`/api-keys?${query}&sort=createdAt&size=100`, { token: owner.token });
        expect(answer.status).toBe(200);
        expect(ids(answer).sort()).toEqual(expected.map((name) => keys[name]).sort());
        expect(answer.body.meta.total).toBe(expected.length);
      });

      it('by their ids, of those that the caller may see', async () => {
        const of = async (token: string, ...named: string[]) =>
          ids(await app.get(`/api-keys?${named.map((id) => `id=${id}`).join('&')}`, { token })).sort();
        expect(await of(owner.token, keys.plain)).toEqual([keys.plain]);
        expect(await of(owner.token, keys.plain, keys.other.toUpperCase())).toEqual([keys.plain, keys.other].sort());
        expect(await of((await app.addUser()).token, keys.plain)).toEqual([]);
      });

      it('by how much of the budget is spent, of this month where it is monthly', async () => {
        const spender = await app.addUser();
        const [nearly, half, , monthly, unlimited] = await storeKeys(
          app,
          [1000, 1000, 1000, 1000, null].map((limit) => ({ ownerId: spender.id, budgetLimitMicroCents: limit })),
        );
        await app.dataSource.query(`UPDATE api_key SET budget_type = 'monthly' WHERE id = $1`, [monthly]);
        await app.dataSource.query(
          `SELECT quota_open_months(ARRAY[$1, $1]::uuid[], ARRAY[quota_month(now() - interval '40 days'), quota_month(now())])`,
          [monthly],
        );
        await app.dataSource.query(
          `UPDATE budget_account SET spent_micro_cents = CASE WHEN key_id = $1 THEN 805 WHEN key_id = $2 THEN 500 WHEN period < quota_month(now()) THEN 1000 ELSE 10 END
            WHERE key_id IN ($1, $2, $3) AND limit_micro_cents IS NOT NULL`,
          [nearly, half, monthly],
        );
        const above = async (percent: number) =>
          new Set(ids(await app.get(`/api-keys?budgetUsedAbove=${percent}`, { token: spender.token })));
        expect(await above(0)).toEqual(new Set([nearly, half, monthly]));
        expect(await above(1)).toEqual(new Set([nearly, half]));
        expect(await above(49.99)).toEqual(new Set([nearly, half]));
        expect(await above(50)).toEqual(new Set([nearly]));
        expect(await above(80.49)).toEqual(new Set([nearly]));
        expect(await above(80.5)).toEqual(new Set());
        // In cents, of the period that counts; a key without a budget has none.
        const { data } = (await app.get('/api-keys', { token: spender.token })).body;
        const spent = (id: string | undefined) =>
          data.find((key: { id: string }) => key.id === id).budgetSpentCents as number | null;
        expect([nearly, half, monthly, unlimited].map(spent)).toEqual([0.000805, 0.0005, 0.00001, null]);
      });

      it('finds a key by the middle of its prefix, also after its secret has been replaced', async () => {
        const [id] = await storeKeys(app, [{ ownerId: owner.id, keyPrefix: 'lk_live_0ldPref1xAbCdE' }]);
        await app.dataSource.query(
          `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version, created_at)
           VALUES ('newPrefix', $1, 'own', 'lk_live_newPrefix', sha256('x'), '1', now() + interval '1 s')`,
          [id],
        );
        expect(ids(await app.get('/api-keys?search=LDpREF1', { token: owner.token }))).toEqual([id]);
        expect(ids(await app.get('/api-keys?search=live_newPre', { token: owner.token }))).toEqual([id]);
        await app.dataSource.query('DELETE FROM api_key WHERE id = $1', [id]);
      });

      it.each<[string, (keyof typeof keys)[]]>([
        ['createdAt', ['plain', 'other', 'expired', 'off', 'gone', 'ends']],
        ['-createdAt', ['ends', 'gone', 'off', 'expired', 'other', 'plain']],
        ['name', ['plain', 'other', 'expired', 'ends', 'gone', 'off']],
        ['-name', ['off', 'gone', 'ends', 'expired', 'other', 'plain']],
      ])('and sorts by %s', async (sort, expected) => {
        expect(ids(await app.get(`/api-keys?sort=${sort}`, { token: owner.token }))).toEqual(
          expected.map((name) => keys[name]),
        );
      });

      it('and puts keys that never end last, and those never used first', async () => {
        const byEnd = ids(await app.get('/api-keys?sort=expiresAt', { token: owner.token }));
        expect(byEnd.slice(0, 3)).toEqual([keys.off, keys.expired, keys.ends]);
        const byUse = ids(await app.get('/api-keys?sort=-lastUsedAt', { token: owner.token }));
        expect(byUse.slice(0, 2)).toEqual([keys.expired, keys.other]);
      });
    });

    it('gives every key exactly once and in order over all pages, under any filter and order', async () => {
      const owner = await app.addUser();
      // Few values, so that ties are many and the tie-breaker decides.
      const keys = fc.sample(
        fc.record({
          name: fc.constantFrom('alpha', 'Beta', 'gamma'),
          environment: fc.constantFrom('live' as const, 'test' as const),
          isActive: fc.boolean(),
          tags: fc.subarray(['x', 'y']),
          expiresAt: fc.constantFrom(null, daysAgo(1), daysAgo(-1)),
          createdAt: fc.constantFrom(daysAgo(1), daysAgo(2), daysAgo(3)),
          lastUsedAt: fc.constantFrom(null, daysAgo(0.5)),
        }),
        90,
      );
      await storeKeys(
        app,
        keys.map((key) => ({ ...key, ownerId: owner.id })),
      );
      const all = (await app.get('/api-keys?size=100', { token: owner.token })).body.data as ListedKey[];
      expect(all).toHaveLength(90);
      const field = fc.constantFrom('createdAt', 'updatedAt', 'name', 'expiresAt', 'lastUsedAt');
      const query = fc.record(
        {
          size: fc.integer({ min: 7, max: 40 }),
          descending: fc.boolean(),
          field,
          environment: fc.constantFrom('live', 'test'),
          status: fc.constantFrom('active', 'inactive', 'expired'),
          tag: fc.constantFrom('x', 'y'),
        },
        { requiredKeys: ['size', 'descending', 'field'] },
      );
      await fc.assert(
        fc.asyncProperty(query, async ({ size, descending, field, ...filter }) => {
          const asked = new URLSearchParams({
            size: String(size),
            sort: `${descending ? '-' : ''}${field}`,
            ...filter,
          });
          const walked: ListedKey[] = [];
          for (let page = 1; ; page += 1) {
            const { body } = await app.get(`/api-keys?${asked.toString()}&page=${page}`, { token: owner.token });
            walked.push(...body.data);
            if (walked.length >= body.meta.total || body.data.length === 0) break;
          }
          const expected = all
            .filter(
              (key) =>
                (filter.environment ?? key.environment) === key.environment &&
                (filter.status ?? key.status) === key.status,
            )
            .filter((key) => filter.tag === undefined || key.tags.includes(filter.tag))
            .sort((a, b) => (descending ? -1 : 1) * compare(rank(a, field), rank(b, field)));
          expect(walked.map((key) => key.id)).toEqual(expected.map((key) => key.id));
        }),
        { numRuns: 40 },
      );
    });
  });

  describe('400', () => {
    it.each([
      ['page=0', 'page'],
      ['page=01', 'page'],
      ['page=1e2', 'page'],
      ['page=-1', 'page'],
      ['page=1.0', 'page'],
      ['page=%201', 'page'],
      ['page=', 'page'],
      ['page=1&page=2', 'page'],
      ['page=NaN', 'page'],
      ['size=0', 'size'],
      ['size=101', 'size'],
      ['page=1001&size=10', 'page'],
      ['page=101&size=100', 'page'],
      ['ownerId=me', 'ownerId'],
      ['ownerId=019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55&ownerId=019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e56', 'ownerId'],
      ['status=Active', 'status'],
      ['status=active&status=revoked', 'status'],
      ['isActive=1', 'isActive'],
      ['isActive=', 'isActive'],
      ['environment=prod', 'environment'],
      ['id=plain', 'id.0'],
      ['tag=', 'tag.0'],
      ['tag=a&tag=a', 'tag.1'],
      ['tag=a%20b', 'tag.0'],
      ['scope=a%20b', 'scope.0'],
      ['search=ab', 'search'],
      [`search=${'a'.repeat(101)}`, 'search'],
      ['search=abc&search=def', 'search'],
      ['search=abc%00', 'url'],
      ['search=abc%0Adef', 'search'],
      ['expiresBefore=tomorrow', 'expiresBefore'],
      ['expiresBefore=2026-02-30T00:00:00Z', 'expiresBefore'],
      ['unusedSince=2026-01-01', 'unusedSince'],
      ['neverUsed=yes', 'neverUsed'],
      ['hasExpiry=TRUE', 'hasExpiry'],
      ['budgetUsedAbove=100.5', 'budgetUsedAbove'],
      ['budgetUsedAbove=1e1', 'budgetUsedAbove'],
      ['budgetUsedAbove=1.234', 'budgetUsedAbove'],
      ['sort=secret', 'sort'],
      ['sort=--name', 'sort'],
      ['limit=5', 'limit'],
      ['search[]=abc', 'search[]'],
    ])('refuses %s by name', async (query, path) => {
      const { status, body } = await app.get(`/api-keys?${query}`, { token: admin });
      expect(status).toBe(400);
      expect(body.code).toBe('VALIDATION_FAILED');
      expect(body.errors.map((error: { path: string }) => error.path)).toContain(path);
    });

    it.each(['search', 'scope'])('refuses a whole secret as %s and does not repeat it', async (parameter) => {
      const { body: created } = await app.post('/api-keys', { token: admin });
      const { status, body } = await app.get(`/api-keys?${parameter}=${created.secretKey}`, { token: admin });
      expect(status).toBe(400);
      expect(body.errors).toEqual([expect.objectContaining({ path: 'url' })]);
      expect(JSON.stringify(body)).not.toContain(created.secretKey);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/api-keys?page=x')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('refuses the list of another owner, known or not, in the same words', async () => {
      const user = await app.addUser();
      const known = await app.get(`/api-keys?ownerId=${ada.id}`, { token: user.token });
      const unknown = await app.get('/api-keys?ownerId=019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', { token: user.token });
      expect(known.status).toBe(403);
      expect(known.body).toMatchObject({ code: 'PERMISSION_DENIED', permission: 'platform:api-keys:read' });
      expect({ ...unknown.body, requestId: '' }).toEqual({ ...known.body, requestId: '' });
    });
  });

  describe('a user without rights', () => {
    it('never meets another’s key, whatever is asked of list, facets and export', async () => {
      const stranger = await app.addUser();
      const victim = await app.addUser();
      const shared = { tags: ['shared'], scopes: ['shared:scope'], name: 'Shared name', description: 'shared text' };
      await storeKeys(
        app,
        Array.from({ length: 20 }, (_, index) => ({
          ...shared,
          ownerId: victim.id,
          environment: index % 2 ? ('test' as const) : ('live' as const),
          alias: `victim-${index}`,
        })),
      );
      const own = await storeKeys(
        app,
        Array.from({ length: 3 }, () => ({ ...shared, ownerId: stranger.id })),
      );
      const parameters = fc.record(
        {
          status: fc.constantFrom('active', 'revoked'),
          isActive: fc.constantFrom('true', 'false'),
          environment: fc.constantFrom('live', 'test'),
          tag: fc.constant('shared'),
          scope: fc.constant('shared:scope'),
          search: fc.constantFrom('shared', 'lk_live', 'victim', '%%%', "' OR true --", ') OR (1=1'),
          expiresBefore: fc.constant('2999-01-01T00:00:00Z'),
          unusedSince: fc.constant('2999-01-01T00:00:00Z'),
          neverUsed: fc.constant('true'),
          hasExpiry: fc.constantFrom('true', 'false'),
          ownerId: fc.constantFrom(victim.id, stranger.id, stranger.id.toUpperCase()),
        },
        { requiredKeys: [] },
      );
      const path = fc.constantFrom('', '/facets', '/export');
      let shown = 0;
      await fc.assert(
        fc.asyncProperty(path, parameters, async (path, asked) => {
          const { status, body } = await app.get(`/api-keys${path}?${new URLSearchParams(asked).toString()}`, {
            token: stranger.token,
          });
          expect(status).toBe(asked.ownerId === victim.id ? 403 : 200);
          const text = JSON.stringify(body);
          expect(text).not.toContain(victim.id);
          expect(text).not.toContain('victim-');
          if (status !== 200) return;
          if (path === '') expect(own).toEqual(expect.arrayContaining(body.data.map((key: ListedKey) => key.id)));
          if (path === '/facets') expect(body.total).toBeLessThanOrEqual(3);
          if (path === '/export') expect(body.trim().split('\r\n').length).toBeLessThanOrEqual(4);
          shown += 1;
        }),
        { numRuns: 200 },
      );
      expect(shown).toBeGreaterThan(50);
    });
  });
});

interface ListedKey {
  id: string;
  name: string;
  environment: string;
  status: string;
  tags: string[];
  createdAt: string;
  updatedAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
}

/** What orders a key: the field as the API says, then the id. */
function rank(key: ListedKey, field: string): [string, string] {
  if (field === 'name') return [key.name.toLowerCase(), key.id];
  if (field === 'expiresAt') return [key.expiresAt ?? '9999', key.id];
  if (field === 'lastUsedAt') return [key.lastUsedAt ?? '0000', key.id];
  return [field === 'createdAt' ? key.createdAt : key.updatedAt, key.id];
}

function compare(a: [string, string], b: [string, string]): number {
  const [left, right] = [a.join(' '), b.join(' ')];
  return left < right ? -1 : left > right ? 1 : 0;
}
