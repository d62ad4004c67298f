import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { TestApp } from '../../support/app.js';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const draw = () => `sk-old-${randomBytes(18).toString('base64url')}`;
const entryOf = (secret: string, fields: object = {}) => ({ sha256: sha256(secret), prefix: secret.slice(0, 12), ...fields });

describe('POST /api-keys/import', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000000' });
    admin = await app.adminToken();
    await app.addRole('importer', ['platform:api-keys:create', 'platform:api-keys:assign']);
  });
  afterAll(() => app.stop());

  const importKeys = (keys: object[], token = admin) => app.post('/api-keys/import', { token, body: { keys } });

  describe('200', () => {
    it('makes keys whose clients keep their secrets', async () => {
      const owner = await app.addUser();
      const secret = draw();
      const { status, body } = await importKeys([entryOf(secret, { ownerId: owner.id, name: 'Old', scopes: ['chat:write'], rateLimitPerMinute: 7, expiresAt: '2999-01-01T00:00:00Z' })]);
      expect(status).toBe(200);
      expect(body).toEqual({ results: [{ index: 0, outcome: 'created', id: expect.any(String), code: null }], counts: { created: 1, duplicate: 0, refused: 0 } });
      const { id } = body.results[0];
      const key = (await app.get(`/api-keys/${id}`, { token: owner.token })).body;
      expect(key).toMatchObject({ name: 'Old', keyPrefix: secret.slice(0, 12), rateLimitPerMinute: 7, ownerId: owner.id });
      expect(key.secrets).toHaveLength(1);
      const verdict = await app.post('/verify', { token: admin, body: { key: secret, scopes: ['chat:write'] } });
      expect(verdict.body).toMatchObject({ valid: true, code: 'VALID', keyId: id, scopes: ['chat:write'] });
      const almost = `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`;
      expect((await app.post('/verify', { token: admin, body: { key: almost } })).body).toMatchObject({ valid: false, code: 'NOT_FOUND' });
    });

    it('stores neither the hash nor the secret, and records each key in the trail', async () => {
      const secret = draw();
      const { body } = await importKeys([entryOf(secret), entryOf(draw())]);
      const [row] = await app.dataSource.query<{ kind: string; mac: Buffer }[]>('SELECT kind, mac FROM api_key_secret WHERE key_id = $1', [body.results[0].id]);
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
      expect(again.body).toMatchObject({ results: [{ outcome: 'duplicate', id }], counts: { created: 0, duplicate: 1, refused: 0 } });
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
      expect(body.results.map((result: { outcome: string; code: string | null }) => result.code ?? result.outcome)).toEqual([
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
      const [row] = await app.dataSource.query<{ count: number }[]>('SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1', [owner.id]);
      expect(row!.count).toBe(3);
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
      const { status, body } = await importKeys(Array.from({ length: 500 }, () => entryOf(draw(), { description: 'd'.repeat(200), metadata })));
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
      const [row] = await app.dataSource.query<{ count: number }[]>('SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1', [owner.id]);
      expect(row!.count).toBe(5);
      const made = answers.map(({ status, body }) => (status === 201 ? 1 : (body.counts?.created ?? 0)) as number).reduce((sum, one) => sum + one, 0);
      expect(made).toBe(5);
    });

    it('makes one key of a secret that a dozen imports bring at once', async () => {
      const secrets = [draw(), draw(), draw()];
      const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => importKeys((index % 2 ? secrets : [...secrets].reverse()).map((secret) => entryOf(secret)))));
      const outcomes = answers.flatMap(({ body }) => body.results.map((result: { outcome: string }) => result.outcome) as string[]);
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(3);
      expect(outcomes.filter((outcome) => outcome === 'duplicate')).toHaveLength(33);
    });
  });

  describe('400', () => {
    it.each<[unknown, string]>([
      [{}, 'keys'],
      [{ keys: [] }, 'keys'],
      [{ keys: {} }, 'keys'],
      [{ keys: [1] }, 'keys'],
      [{ keys: [[entryOf('a')]] }, 'keys'],
      [{ keys: [null] }, 'keys'],
      [{ keys: [{ prefix: 'a' }] }, 'keys.0.sha256'],
      [{ keys: [{ sha256: sha256('a') }] }, 'keys.0.prefix'],
      [{ keys: [{ ...entryOf('a'), sha256: 'zz' }] }, 'keys.0.sha256'],
      [{ keys: [{ ...entryOf('a'), prefix: 'a b' }] }, 'keys.0.prefix'],
      [{ keys: [{ ...entryOf('a'), prefix: 'a'.repeat(33) }] }, 'keys.0.prefix'],
      [{ keys: [entryOf('a'), { ...entryOf('b'), name: '' }] }, 'keys.1.name'],
      [{ keys: [{ ...entryOf('a'), secret: 'x' }] }, 'keys.0.secret'],
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
      expect((await app.post('/api-keys/import', { token: admin, body: { keys: [{ description: big }] } })).status).toBe(413);
      expect((await app.post('/api-keys', { token: admin, body: { description: big.slice(0, 70_000) } })).status).toBe(413);
    });
  });
});
