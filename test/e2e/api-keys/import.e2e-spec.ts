import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const draw = () => `sk-old-${randomBytes(18).toString('base64url')}`;
const entryOf = (secret: string, fields: object = {}) => ({
  sha256: sha256(secret),
  prefix: secret.slice(0, 12),
  ...fields,
});

describe('POST /api-keys/import', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000000' });
    other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000000' }, app.database);
    admin = await app.adminToken();
    await app.addRole('importer', ['platform:api-keys:create', 'platform:api-keys:assign']);
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });

  const importKeys = (keys: unknown[], token = admin, options: object = {}) =>
    app.post('/api-keys/import', { token, body: { keys, ...options } });

  describe('200', () => {
    it('makes keys whose clients keep their secrets', async () => {
      const owner = await app.addUser();
      const secret = draw();
      const { status, body } = await importKeys([
        entryOf(secret, {
          ownerId: owner.id,
          name: 'Old',
          scopes: ['chat:write'],
          rateLimitPerMinute: 7,
          expiresAt: '2999-01-01T00:00:00Z',
        }),
      ]);
      expect(status).toBe(200);
      expect(body).toEqual({
        results: [{ index: 0, outcome: 'created', id: expect.any(String), code: null }],
        counts: { created: 1, duplicate: 0, refused: 0 },
      });
      const { id } = body.results[0];
      const key = (await app.get(`/api-keys/${id}`, { token: owner.token })).body;
      expect(key).toMatchObject({
        name: 'Old',
        keyPrefix: secret.slice(0, 12),
        rateLimitPerMinute: 7,
        ownerId: owner.id,
      });
      expect(key.secrets).toHaveLength(1);
      const verdict = await app.post('/verify', { token: admin, body: { key: secret, scopes: ['chat:write'] } });
      expect(verdict.body).toMatchObject({ valid: true, code: 'VALID', keyId: id, scopes: ['chat:write'] });
      const almost = `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`;
      expect((await app.post('/verify', { token: admin, body: { key: almost } })).body).toMatchObject({
        valid: false,
        code: 'NOT_FOUND',
      });
    });

    it('makes keys that work the moment it answers, where it answers; with wait=true on every replica', async () => {
      const verifyAt = async (at: TestApp, key: string) =>
        (await at.post('/verify', { token: admin, body: { key } })).body.code as string;
      for (let time = 0; time < 10; time += 1) {
        const here = draw();
        expect(await verifyAt(app, here)).toBe('NOT_FOUND');
        await importKeys([entryOf(here)]);
        expect(await verifyAt(app, here)).toBe('VALID');
        const everywhere = draw();
        expect([await verifyAt(app, everywhere), await verifyAt(other, everywhere)]).toEqual([
          'NOT_FOUND',
          'NOT_FOUND',
        ]);
        await app.post('/api-keys/import?wait=true', { token: admin, body: { keys: [entryOf(everywhere)] } });
        expect([await verifyAt(app, everywhere), await verifyAt(other, everywhere)]).toEqual(['VALID', 'VALID']);
        await eventually(async () => expect(await verifyAt(other, here)).toBe('VALID'));
      }
    });

    it('stores neither the hash nor the secret, and records each key in the trail', async () => {
      const secret = draw();
      const { body } = await importKeys([entryOf(secret), entryOf(draw())]);
      const [row] = await app.dataSource.query<{ kind: string; mac: Buffer }[]>(
        'SELECT kind, mac FROM api_key_secret WHERE key_id = $1',
        [body.results[0].id],
      );
      expect(row!.kind).toBe('imported');
      expect(row!.mac.toString('hex')).not.toBe(sha256(secret));
      const events = await app.dataSource.query<{ action: string; body: string }[]>(
        'SELECT action, body FROM audit_event WHERE resource_id = ANY($1)',
        [body.results.map((result: { id: string }) => result.id)],
      );
      expect(events.map((event) => event.action)).toEqual(['api-keys:import', 'api-keys:import']);
      expect(JSON.stringify(events)).not.toContain(sha256(secret));
    });

    it('finds an imported key by its prefix and revokes it like any other', async () => {
      const secret = draw();
      const { body } = await importKeys([entryOf(secret)]);
      const { id } = body.results[0];
      const listed = await app.get(`/api-keys?search=${encodeURIComponent(secret.slice(0, 12))}`, { token: admin });
      expect(listed.body.data.map((key: { id: string }) => key.id)).toEqual([id]);
      await app.post(`/api-keys/${id}/revoke`, { token: admin });
      expect((await app.post('/verify', { token: admin, body: { key: secret } })).body.code).toBe('REVOKED');
    });

    it('finds duplicates, in the store and in the request, and leaves their keys as they are', async () => {
      const secret = draw();
      const first = await importKeys([entryOf(secret, { name: 'First' }), entryOf(secret, { name: 'Second' })]);
      const { id } = first.body.results[0];
      expect(first.body.results[1]).toEqual({ index: 1, outcome: 'duplicate', id, code: null });
      const again = await importKeys([{ ...entryOf(secret, { name: 'Third' }), sha256: sha256(secret).toUpperCase() }]);
      expect(again.body).toMatchObject({
        results: [{ outcome: 'duplicate', id }],
        counts: { created: 0, duplicate: 1, refused: 0 },
      });
      expect((await app.get(`/api-keys/${id}`, { token: admin })).body.name).toBe('First');
    });

    it('does not tell the key of a duplicate to whom it is not known', async () => {
      const secret = draw();
      await importKeys([entryOf(secret)]);
      const importer = await app.addUser(['importer']);
      const { body } = await importKeys([entryOf(secret)], importer.token);
      expect(body.results).toEqual([{ index: 0, outcome: 'duplicate', id: null, code: null }]);
    });

    it('refuses entries one by one, with the code of a create, and keeps the others', async () => {
      const owner = await app.addUser(['creator'], { maxActiveKeys: 3 });
      const { body } = await importKeys([
        entryOf(draw(), { ownerId: owner.id, alias: 'same' }),
        entryOf(draw(), { ownerId: owner.id, alias: 'same' }),
        entryOf(draw(), { ownerId: owner.id, roles: ['no-such-role'] }),
        entryOf(draw(), { ownerId: owner.id, expiresAt: '2020-01-01T00:00:00Z' }),
        entryOf(draw(), { ownerId: owner.id, isUnlimited: false }),
        entryOf(draw(), { ownerId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55' }),
        { ...entryOf(draw(), { ownerId: owner.id }), prefix: 'lk_live_x' },
        { sha256: sha256('the-whole-secret'), prefix: 'the-whole-secret', ownerId: owner.id },
        entryOf(draw(), { ownerId: owner.id }),
        entryOf(draw(), { ownerId: owner.id }),
        entryOf(draw(), { ownerId: owner.id }),
      ]);
      expect(
        body.results.map((result: { outcome: string; code: string | null }) => result.code ?? result.outcome),
      ).toEqual([
        'created',
        'ALIAS_TAKEN',
        'VALIDATION_FAILED',
        'VALIDATION_FAILED',
        'VALIDATION_FAILED',
        'VALIDATION_FAILED',
        'VALIDATION_FAILED',
        'VALIDATION_FAILED',
        'created',
        'created',
        'API_KEY_LIMIT_REACHED',
      ]);
      expect(body.results[3].errors).toEqual([{ path: 'expiresAt', message: 'must lie in the future' }]);
      expect(body.counts).toEqual({ created: 3, duplicate: 0, refused: 8 });
      const [row] = await app.dataSource.query<{ count: number }[]>(
        'SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1',
        [owner.id],
      );
      expect(row!.count).toBe(3);
    });

    it('refuses entries whose form is wrong one by one, naming the field, and keeps the others', async () => {
      const good = draw();
      const wrong: [unknown, string][] = [
        [1, 'entry'],
        [[entryOf('a')], 'entry'],
        [null, 'entry'],
        [{ prefix: 'a' }, 'sha256'],
        [{ sha256: sha256('a') }, 'prefix'],
        [{ ...entryOf('a'), sha256: 'zz' }, 'sha256'],
        [{ ...entryOf('a'), sha256: '$2b$12$abcdefghijklmnopqrstuuJ9K8vQbB3q2JmC9x1dFZyYwz0T7o1mW' }, 'sha256'],
        [{ ...entryOf('a'), prefix: 'a b' }, 'prefix'],
        [{ ...entryOf('a'), prefix: 'a'.repeat(33) }, 'prefix'],
        [{ ...entryOf('b'), name: '' }, 'name'],
        [{ ...entryOf('a'), secret: 'x' }, 'secret'],
        [entryOf(draw(), { spentCents: -1 }), 'spentCents'],
        [entryOf(draw(), { createdAt: '2999-01-01T00:00:00Z' }), 'createdAt'],
        [entryOf(draw(), { createdAt: '2026-01-02T00:00:00Z', lastUsedAt: '2026-01-01T00:00:00Z' }), 'lastUsedAt'],
      ];
      const { status, body } = await importKeys([...wrong.map(([entry]) => entry), entryOf(good)]);
      expect([status, body.counts]).toEqual([200, { created: 1, duplicate: 0, refused: wrong.length }]);
      for (const [index, [, path]] of wrong.entries()) {
        expect(body.results[index]).toMatchObject({
          index,
          outcome: 'refused',
          code: 'VALIDATION_FAILED',
          errors: expect.arrayContaining([{ path, message: expect.any(String) }]),
        });
      }
      expect(body.results[6].errors[0].message).toMatch(/bcrypt.*issue a new key/);
      expect((await app.post('/verify', { token: admin, body: { key: good } })).body.code).toBe('VALID');
    });

    it('takes hashes in base64 and base64url as well, and finds the same key by each', async () => {
      const secret = draw();
      const digest = createHash('sha256').update(secret).digest();
      const entries = [digest.toString('base64'), digest.toString('base64url'), digest.toString('hex')].map((hash) => ({
        ...entryOf(secret),
        sha256: hash,
      }));
      const { body } = await importKeys(entries);
      expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
        'created',
        'duplicate',
        'duplicate',
      ]);
    });

    it.each(['sk-fifteen-char', 'ab', 'pass phrase with spaces', 'schlüssel-日本', `sk-${'x'.repeat(509)}`])(
      'makes a key of whatever can be presented: %j verifies',
      async (secret) => {
        const { body } = await importKeys([
          { sha256: sha256(secret), prefix: secret.startsWith('sch') ? 'sch' : secret.slice(0, 1) },
        ]);
        expect(body.results[0].outcome).toBe('created');
        expect((await app.post('/verify', { token: admin, body: { key: secret } })).body).toMatchObject({
          code: 'VALID',
          keyId: body.results[0].id,
        });
        expect((await app.post('/verify', { token: admin, body: { key: `${secret.slice(0, 10)}!` } })).body.code).toBe(
          'MALFORMED',
        );
      },
    );

    it.each(['l', 'lk', 'lk_', 'lk_live_x'])(
      'refuses the prefix %s, which does not tell a secret from those made here',
      async (prefix) => {
        const { body } = await importKeys([{ sha256: sha256(draw()), prefix }]);
        expect(body.results[0].errors).toEqual([{ path: 'prefix', message: expect.stringContaining('lk_') }]);
      },
    );

    it('carries over what was spent, when it was made and last used, and that it is deactivated', async () => {
      const owner = await app.addUser(['creator'], { maxActiveKeys: 2 });
      const [total, monthly, unlimited, beyond] = [draw(), draw(), draw(), draw()];
      const past = { ownerId: owner.id, createdAt: '2024-02-29T08:00:00Z', lastUsedAt: '2025-10-31T23:59:59Z' };
      const { body } = await importKeys([
        entryOf(total, { ...past, budgetLimitCents: 10, spentCents: 7.25 }),
        entryOf(monthly, { ...past, budgetLimitCents: 10, budgetType: 'monthly', spentCents: 4 }),
        entryOf(unlimited, { ...past, spentCents: 0.1 + 0.2, isActive: false }),
        entryOf(beyond, { ...past, budgetLimitCents: 1, spentCents: 3, isActive: false }),
      ]);
      expect(body.counts).toEqual({ created: 4, duplicate: 0, refused: 0 });
      const ids = body.results.map(({ id }: { id: string }) => id) as string[];
      const budgetOf = async (id: string) => (await app.get(`/api-keys/${id}/usage`, { token: admin })).body.budget;
      expect(await budgetOf(ids[0]!)).toMatchObject({ type: 'total', spentCents: 7.25, remainingCents: 2.75 });
      expect(await budgetOf(ids[1]!)).toMatchObject({ type: 'monthly', spentCents: 4, remainingCents: 6 });
      expect(await budgetOf(ids[3]!)).toMatchObject({ spentCents: 3, remainingCents: 0 });
      const verify = (key: string, reserveCents: number) =>
        app.post('/verify', { token: admin, body: { key, reserveCents } });
      expect((await verify(total, 2.76)).body.code).toBe('BUDGET_EXCEEDED');
      expect((await verify(total, 2.75)).body.code).toBe('VALID');
      expect((await verify(monthly, 6.1)).body.code).toBe('BUDGET_EXCEEDED');
      expect((await verify(unlimited, 1)).body.code).toBe('DISABLED');
      const key = (await app.get(`/api-keys/${ids[2]!}`, { token: admin })).body;
      expect(key).toMatchObject({
        isActive: false,
        createdAt: '2024-02-29T08:00:00.000Z',
        lastUsedAt: '2025-10-31T23:59:59.000Z',
        deactivatedBy: expect.any(String),
        totalRequests: 0,
        totalCostCents: 0,
      });
      const later = await app.patch(`/api-keys/${ids[2]!}`, { token: admin, body: { budgetLimitCents: 5 } });
      expect([later.status, (await budgetOf(ids[2]!)).spentCents]).toEqual([200, 0.3]);
      const [event] = await app.dataSource.query<{ body: string }[]>(
        'SELECT body FROM audit_event WHERE resource_id = $1 AND action = $2',
        [ids[0]!, 'api-keys:import'],
      );
      expect(JSON.parse(event!.body).details).toMatchObject({
        spentCents: 7.25,
        createdAt: '2024-02-29T08:00:00.000Z',
        lastUsedAt: '2025-10-31T23:59:59.000Z',
      });
      expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
    });

    it('says where the cap of an owner can be raised, and raises it where it is asked and allowed to', async () => {
      const owner = await app.addUser(['creator'], { maxActiveKeys: 10 });
      const entries = Array.from({ length: 120 }, () => entryOf(draw(), { ownerId: owner.id }));
      const refused = await importKeys(entries);
      expect(refused.body.counts).toEqual({ created: 10, duplicate: 0, refused: 110 });
      expect(refused.body.results[119]).toMatchObject({
        code: 'API_KEY_LIMIT_REACHED',
        detail: expect.stringMatching(
          /maxActiveKeys.*PATCH \/api\/v1\/users\/\{id\}.*platform:users:update.*MAX_ACTIVE_KEYS.*raiseOwnerLimits/,
        ),
      });
      const importer = await app.addUser(['importer']);
      expect(await importKeys(entries, importer.token, { raiseOwnerLimits: true })).toMatchObject({
        status: 403,
        body: { code: 'PERMISSION_DENIED', permission: 'platform:users:update' },
      });
      const raised = await importKeys(entries, admin, { raiseOwnerLimits: true });
      expect(raised.body.counts).toEqual({ created: 110, duplicate: 10, refused: 0 });
      expect((await app.get(`/users/${owner.id}`, { token: admin })).body.maxActiveKeys).toBe(120);
      const events = await app.dataSource.query<{ body: string }[]>(
        `SELECT body FROM audit_event WHERE resource_id = $1 AND action = 'users:update' ORDER BY seq`,
        [owner.id],
      );
      const steps = events.map(
        ({ body }) => JSON.parse(body).changes[0] as { field: string; before: number; after: number },
      );
      // One a transaction, and a slow machine makes more of those: each goes on where the one before ended.
      expect(steps.length).toBeGreaterThanOrEqual(3);
      const caps = [10, ...steps.map(({ after }) => after)];
      expect(steps).toEqual(
        steps.map((_, index) => ({ field: 'maxActiveKeys', before: caps[index], after: caps[index + 1] })),
      );
      expect(caps).toEqual([...new Set(caps)].sort((one, other) => one - other));
      expect(caps.at(-1)).toBe(120);
    });

    it('raises the cap of no owner who may do more than the caller, and says so', async () => {
      await app.addRole('raiser', ['platform:api-keys:create', 'platform:api-keys:assign', 'platform:users:update']);
      const raiser = await app.addUser(['raiser']);
      const owner = await app.addUser(['admin'], { maxActiveKeys: 0 });
      const { body } = await importKeys([entryOf(draw(), { ownerId: owner.id })], raiser.token, {
        raiseOwnerLimits: true,
      });
      expect(body.results[0]).toMatchObject({
        code: 'API_KEY_LIMIT_REACHED',
        detail: expect.stringContaining('you do not hold all that the owner may do'),
      });
      expect((await app.get(`/users/${owner.id}`, { token: admin })).body.maxActiveKeys).toBe(0);
    });

    it('raises the cap of an owner with more keys than that neither without authority nor for duplicates', async () => {
      await app.addRole('capper', ['platform:api-keys:create', 'platform:api-keys:assign', 'platform:users:update']);
      const capper = await app.addUser(['capper']);
      const owner = await app.addUser(['admin']);
      const had = [draw(), draw(), draw()].map((secret) => entryOf(secret, { ownerId: owner.id }));
      await importKeys(had);
      await app.patch(`/users/${owner.id}`, { token: admin, body: { maxActiveKeys: 1 } });
      const capOf = async () => (await app.get(`/users/${owner.id}`, { token: admin })).body.maxActiveKeys as number;
      const options = { raiseOwnerLimits: true };
      const refused = await importKeys([entryOf(draw(), { ownerId: owner.id })], capper.token, options);
      expect([refused.body.results[0].code, await capOf()]).toEqual(['API_KEY_LIMIT_REACHED', 1]);
      expect([(await importKeys(had, admin, options)).body.counts.duplicate, await capOf()]).toEqual([3, 1]);
      const raised = await importKeys([entryOf(draw(), { ownerId: owner.id })], admin, options);
      expect([raised.body.counts.created, await capOf()]).toEqual([1, 4]);
    });

    it('hands out nothing that the caller does not hold', async () => {
      await app.addRole('deleter', ['platform:api-keys:delete']);
      const importer = await app.addUser(['importer']);
      const owner = await app.addUser(['deleter']);
      const { body } = await importKeys([entryOf(draw(), { ownerId: owner.id, roles: ['deleter'] })], importer.token);
      expect(body.results[0]).toMatchObject({ outcome: 'refused', code: 'CANNOT_GRANT', id: null });
    });

    it('takes 500 entries of a full-grown size at once', async () => {
      const metadata = { note: 'x'.repeat(1300) };
      const { status, body } = await importKeys(
        Array.from({ length: 500 }, () => entryOf(draw(), { description: 'd'.repeat(200), metadata })),
      );
      expect(status).toBe(200);
      expect(body.counts).toEqual({ created: 500, duplicate: 0, refused: 0 });
    });

    it('never passes the cap, however many imports and creates run at once', async () => {
      const owner = await app.addUser(['creator'], { maxActiveKeys: 5 });
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          index % 3 === 0
            ? app.post('/api-keys', { token: owner.token })
            : importKeys([entryOf(draw(), { ownerId: owner.id }), entryOf(draw(), { ownerId: owner.id })]),
        ),
      );
      const [row] = await app.dataSource.query<{ count: number }[]>(
        'SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1',
        [owner.id],
      );
      expect(row!.count).toBe(5);
      const made = answers
        .map(({ status, body }) => (status === 201 ? 1 : (body.counts?.created ?? 0)) as number)
        .reduce((sum, one) => sum + one, 0);
      expect(made).toBe(5);
    });

    it('makes one key of a secret that a dozen imports bring at once', async () => {
      const secrets = [draw(), draw(), draw()];
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          importKeys((index % 2 ? secrets : [...secrets].reverse()).map((secret) => entryOf(secret))),
        ),
      );
      const outcomes = answers.flatMap(
        ({ body }) => body.results.map((result: { outcome: string }) => result.outcome) as string[],
      );
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(3);
      expect(outcomes.filter((outcome) => outcome === 'duplicate')).toHaveLength(33);
    });
  });

  describe('400', () => {
    it.each<[unknown, string]>([
      [{}, 'keys'],
      [{ keys: [] }, 'keys'],
      [{ keys: {} }, 'keys'],
      [{ keys: [entryOf('a')], raiseOwnerLimits: 'yes' }, 'raiseOwnerLimits'],
      [{ keys: Array.from({ length: 501 }, () => entryOf('a')) }, 'keys'],
    ])('refuses the whole of %j, naming the field', async (body, path) => {
      const answer = await app.post('/api-keys/import', { token: admin, body });
      expect(answer.status).toBe(400);
      expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path);
    });
  });

  describe('403', () => {
    it.each([
      [['creator'], 'platform:api-keys:assign'],
      [['user'], 'platform:api-keys:create'],
    ])('names what the roles %j lack', async (roles, permission) => {
      const user = await app.addUser(roles);
      const { status, body } = await importKeys([entryOf(draw())], user.token);
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'PERMISSION_DENIED', permission });
    });
  });

  describe('413', () => {
    it('refuses more than 1 MiB, while other routes stay at 64 KiB', async () => {
      const big = 'x'.repeat(1024 * 1024);
      expect(
        (await app.post('/api-keys/import', { token: admin, body: { keys: [{ description: big }] } })).status,
      ).toBe(413);
      expect((await app.post('/api-keys', { token: admin, body: { description: big.slice(0, 70_000) } })).status).toBe(
        413,
      );
    });
  });
});
