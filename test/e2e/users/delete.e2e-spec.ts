import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { TestApp, type TestUser } from '../../support/app.js';
import { pathsOf } from '../../support/made-keys.js';
import { trailOf } from '../../support/trail.js';

describe('DELETE /users/:id', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('people', ['platform:users:*', 'platform:api-keys:create', 'platform:api-keys:update']);
    await app.addRole('movers', [
      'platform:users:*',
      'platform:api-keys:create',
      'platform:api-keys:update',
      'platform:api-keys:assign',
    ]);
  });
  afterAll(() => app.stop());

  const createKey = async (user: TestUser, body: object = {}) =>
    (await app.post('/api-keys', { token: user.token, body })).body as { apiKey: { id: string }; secretKey: string };

  /** Many keys at once, straight into the database. */
  const addKeys = (ownerId: string, count: number, roles: string[] = []) =>
    app.dataSource.query(
      `INSERT INTO api_key (id, owner_id, name, environment, roles) SELECT gen_random_uuid(), $1, 'bulk', 'live', $3 FROM generate_series(1, $2)`,
      [ownerId, count, roles],
    );

  describe('204', () => {
    it('ends everything that belongs to the user and frees the address', async () => {
      const user = await app.addUser(['creator']);
      const bot = await app.addUser([], { kind: 'service', managerIds: [user.id] });
      expect((await app.delete(`/users/${user.id}`, { token: admin })).status).toBe(204);
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(401);
      expect((await app.get(`/users/${user.id}`, { token: admin })).status).toBe(404);
      expect((await app.get(`/users/${bot.id}`, { token: admin })).body.managerIds).toEqual([]);
      expect((await trailOf(app, bot.id)).at(-1)).toMatchObject({
        action: 'users:update',
        changes: [{ field: 'managerIds', before: [user.id], after: [] }],
      });
      expect((await trailOf(app, user.id)).at(-1)).toMatchObject({ action: 'users:delete' });
      expect((await app.post('/users', { token: admin, body: { name: 'Again', email: user.email } })).status).toBe(201);
      expect((await app.post('/auth/login', { body: { email: user.email, password: user.password } })).status).toBe(
        401,
      );
    });

    it('leaves revoked keys as history, under the name of the user', async () => {
      const user = await app.addUser(['creator']);
      const { apiKey, secretKey } = await createKey(user);
      expect((await app.delete(`/users/${user.id}?keys=revoke`, { token: admin })).status).toBe(204);
      expect((await app.get(`/api-keys/${apiKey.id}`, { token: admin })).body).toMatchObject({
        status: 'revoked',
        ownerId: user.id,
        ownerName: expect.stringContaining(user.email),
      });
      expect((await app.post('/verify', { token: admin, body: { key: secretKey } })).body.code).toBe('REVOKED');
      expect(await trailOf(app, apiKey.id)).toMatchObject([
        { action: 'api-keys:create' },
        { action: 'api-keys:revoke', changes: [{ field: 'revokedAt', before: null }, { field: 'revokedReason' }] },
      ]);
    });

    it('waits for all replicas where it is asked to, and takes no other parameter', async () => {
      const user = await app.addUser(['creator']);
      await createKey(user);
      for (const [query, path] of [
        ['keys=revoke&wait=perhaps', 'wait'],
        ['keys=revoke&wait=true&wait=true', 'wait'],
        ['keys=revoke&force=true', 'force'],
        ['keys=keep&wait=true', 'keys'],
      ]) {
        const answer = await app.delete(`/users/${user.id}?${query}`, { token: admin });
        expect([answer.status, pathsOf(answer)]).toEqual([400, [path]]);
      }
      expect((await app.delete(`/users/${user.id}?keys=revoke&wait=true`, { token: admin })).status).toBe(204);
    });

    it('gives the keys to another owner, who then decides about them', async () => {
      const [user, heir] = [await app.addUser(['creator']), await app.addUser(['creator'])];
      const { apiKey, secretKey } = await createKey(user, { alias: 'moving' });
      expect((await app.delete(`/users/${user.id}?transferTo=${heir.id.toUpperCase()}`, { token: admin })).status).toBe(
        204,
      );
      expect((await app.get(`/api-keys/${apiKey.id}`, { token: heir.token })).body.ownerId).toBe(heir.id);
      expect((await app.post('/verify', { token: admin, body: { key: secretKey } })).body).toMatchObject({
        valid: true,
        ownerId: heir.id,
      });
      expect((await trailOf(app, apiKey.id)).at(-1)).toMatchObject({
        action: 'api-keys:transfer',
        changes: [{ field: 'ownerId', before: user.id, after: heir.id }],
      });
    });

    it.each(['revoke', 'transfer'])('takes many keys in batches of one entry each (%s)', async (fate) => {
      const [user, heir] = [await app.addUser(['creator']), await app.addUser(['creator'], { maxActiveKeys: 1000 })];
      await addKeys(user.id, 250);
      const query = fate === 'revoke' ? 'keys=revoke' : `transferTo=${heir.id}`;
      expect((await app.delete(`/users/${user.id}?${query}`, { token: admin })).status).toBe(204);
      const [keys] = await app.dataSource.query<{ mine: number; heirs: number; revoked: number }[]>(
        `SELECT count(*) FILTER (WHERE owner_id = $1)::int AS mine, count(*) FILTER (WHERE owner_id = $2)::int AS heirs,
                count(*) FILTER (WHERE owner_id = $1 AND revoked_at IS NOT NULL)::int AS revoked FROM api_key`,
        [user.id, heir.id],
      );
      expect(keys).toEqual(
        fate === 'revoke' ? { mine: 250, heirs: 0, revoked: 250 } : { mine: 0, heirs: 250, revoked: 0 },
      );
      const [entries] = await app.dataSource.query<{ count: number }[]>(
        `SELECT count(DISTINCT resource_id)::int AS count FROM audit_event WHERE action = $1 AND resource_id IN (SELECT id::text FROM api_key WHERE owner_id = $2)`,
        [`api-keys:${fate}`, fate === 'revoke' ? user.id : heir.id],
      );
      expect(entries?.count).toBe(250);
    });

    it('goes on where it was cut off', async () => {
      const user = await app.addUser(['creator']);
      await addKeys(user.id, 150);
      // The second batch fails, as in a crash: one of its keys is locked by a session that does not let go.
      const blocker = app.dataSource.createQueryRunner();
      await blocker.startTransaction();
      await blocker.query('SELECT 1 FROM api_key WHERE owner_id = $1 ORDER BY id DESC LIMIT 1 FOR UPDATE', [user.id]);
      expect((await app.delete(`/users/${user.id}?keys=revoke`, { token: admin })).status).toBe(503);
      const [half] = await app.dataSource.query<{ count: number }[]>(
        'SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1 AND revoked_at IS NOT NULL',
        [user.id],
      );
      expect(half?.count).toBe(100);
      expect((await app.get(`/users/${user.id}`, { token: admin })).status).toBe(200);
      await blocker.rollbackTransaction();
      await blocker.release();
      expect((await app.delete(`/users/${user.id}?keys=revoke`, { token: admin })).status).toBe(204);
    });

    it('leaves no key behind that was made at the same moment', async () => {
      for (let round = 0; round < 5; round += 1) {
        const user = await app.addUser(['creator']);
        const [gone, ...made] = await Promise.all([
          app.delete(`/users/${user.id}?keys=revoke`, { token: admin }),
          ...Array.from({ length: 5 }, () => app.post('/api-keys', { token: user.token })),
        ]);
        expect(gone.status).toBe(204);
        expect(made.every(({ status }) => [201, 400, 401, 403].includes(status))).toBe(true);
        const [row] = await app.dataSource.query<{ count: number }[]>(
          'SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1 AND revoked_at IS NULL',
          [user.id],
        );
        expect(row?.count).toBe(0);
      }
    });
  });

  describe('400', () => {
    it.each([
      'keys=delete',
      'transferTo=1',
      `keys=revoke&transferTo=${randomUUID()}`,
      `transferTo=${randomUUID()}`,
      'force=true',
    ])('refuses %s', async (query) => {
      const user = await app.addUser([]);
      expect((await app.delete(`/users/${user.id}?${query}`, { token: admin })).status).toBe(400);
      expect((await app.get(`/users/${user.id}`, { token: admin })).status).toBe(200);
    });

    it('refuses the same user, and an inactive one, as heir', async () => {
      const [user, off] = [await app.addUser(['creator']), await app.addUser(['creator'])];
      await createKey(user);
      await app.patch(`/users/${off.id}`, { token: admin, body: { isActive: false } });
      for (const heir of [user.id, off.id]) {
        expect(await app.delete(`/users/${user.id}?transferTo=${heir}`, { token: admin })).toMatchObject({
          status: 400,
          body: { errors: [{ path: 'transferTo' }] },
        });
      }
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.delete(`/users/${randomUUID()}`)).status).toBe(401);
    });
  });

  describe('403', () => {
    it('refuses to remove a user who may do more', async () => {
      const [me, auditor] = [await app.addUser(['people']), await app.addUser(['auditor'])];
      expect((await app.delete(`/users/${auditor.id}`, { token: me.token })).body.code).toBe('CANNOT_GRANT');
    });

    it('needs the permission to assign for a transfer', async () => {
      const [me, user, heir] = [
        await app.addUser(['people']),
        await app.addUser(['creator']),
        await app.addUser(['creator']),
      ];
      await createKey(user);
      expect((await app.delete(`/users/${user.id}?transferTo=${heir.id}`, { token: me.token })).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:api-keys:assign',
      });
    });

    it('refuses a transfer by which a key could do more than the caller may', async () => {
      const [me, user, heir] = [
        await app.addUser(['movers']),
        await app.addUser(['creator']),
        await app.addUser(['creator', 'gateway']),
      ];
      await addKeys(user.id, 1, ['gateway']);
      expect((await app.delete(`/users/${user.id}?transferTo=${heir.id}`, { token: me.token })).body.code).toBe(
        'CANNOT_GRANT',
      );
    });
  });

  describe('404', () => {
    it('does not know who is deleted already', async () => {
      const user = await app.addUser([]);
      expect((await app.delete(`/users/${user.id}`, { token: admin })).status).toBe(204);
      expect((await app.delete(`/users/${user.id}`, { token: admin })).body.code).toBe('USER_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('asks what becomes of the keys', async () => {
      const user = await app.addUser(['creator']);
      await createKey(user);
      expect(await app.delete(`/users/${user.id}`, { token: admin })).toMatchObject({
        status: 409,
        body: { code: 'OWNER_HAS_KEYS', keys: 1 },
      });
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(200);
    });

    it('names the aliases that the heir has already, and moves nothing', async () => {
      const [user, heir] = [await app.addUser(['creator']), await app.addUser(['creator'])];
      await Promise.all([
        createKey(user, { alias: 'same' }),
        createKey(user, { alias: 'other' }),
        createKey(heir, { alias: 'same' }),
      ]);
      expect(await app.delete(`/users/${user.id}?transferTo=${heir.id}`, { token: admin })).toMatchObject({
        status: 409,
        body: { code: 'ALIAS_TAKEN', aliases: ['same'] },
      });
      expect(await app.delete(`/users/${user.id}`, { token: admin })).toMatchObject({ body: { keys: 2 } });
    });

    it('keeps the last admin', async () => {
      const me = (await app.get('/auth/me', { token: admin })).body.user.id;
      expect((await app.delete(`/users/${me}?keys=revoke`, { token: admin })).body.code).toBe('LAST_ADMIN');
    });
  });

  describe('429', () => {
    it('keeps to the cap of the heir, and moves nothing', async () => {
      const [user, heir] = [
        await app.addUser(['creator'], { maxActiveKeys: 500 }),
        await app.addUser(['creator'], { maxActiveKeys: 120 }),
      ];
      await addKeys(user.id, 130);
      expect(await app.delete(`/users/${user.id}?transferTo=${heir.id}`, { token: admin })).toMatchObject({
        status: 429,
        body: { code: 'API_KEY_LIMIT_REACHED', maxActiveKeys: 120 },
      });
      expect(await app.delete(`/users/${user.id}`, { token: admin })).toMatchObject({ body: { keys: 130 } });
    });
  });
});
