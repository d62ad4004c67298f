import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ADMIN, TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

/** Of a personal value: what it is lies beside the trail. */
const COMMITMENT = { commitment: expect.stringMatching(/^[0-9a-f]{64}$/) };

describe('PATCH /users/:id', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('people', ['platform:users:*', 'platform:api-keys:create']);
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('changes what is sent and nothing else, with before and after in the trail', async () => {
      const user = await app.addUser(['creator']);
      const { status, body } = await app.patch(`/users/${user.id}`, {
        token: admin,
        body: { name: ' New ', maxActiveKeys: 3 },
      });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        name: 'New',
        maxActiveKeys: 3,
        email: user.email,
        roles: ['creator'],
        isActive: true,
      });
      expect((await trailOf(app, user.id)).at(-1)).toMatchObject({
        action: 'users:update',
        changes: [
          { field: 'name', before: COMMITMENT, after: COMMITMENT },
          { field: 'maxActiveKeys', before: null, after: 3 },
        ],
      });
    });

    it('clears the cap with null', async () => {
      const user = await app.addUser([], { maxActiveKeys: 1 });
      expect(
        (await app.patch(`/users/${user.id}`, { token: admin, body: { maxActiveKeys: null } })).body.maxActiveKeys,
      ).toBeNull();
    });

    it('leaves no trace when nothing changes', async () => {
      const user = await app.addUser([]);
      const before = (await trailOf(app, user.id)).length;
      expect((await app.patch(`/users/${user.id}`, { token: admin, body: {} })).status).toBe(200);
      expect(await trailOf(app, user.id)).toHaveLength(before);
    });

    it('ends sessions and refuses keys at once when it disables, and revives keys but no session', async () => {
      const user = await app.addUser(['creator']);
      const key = (await app.post('/api-keys', { token: user.token })).body;
      const verify = async () => {
        await app.applied();
        return (await app.post('/verify', { token: admin, body: { key: key.secretKey } })).body.code;
      };
      expect(await verify()).toBe('VALID');
      expect((await app.patch(`/users/${user.id}`, { token: admin, body: { isActive: false } })).status).toBe(200);
      expect(await verify()).toBe('OWNER_INACTIVE');
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(401);
      expect((await app.get('/auth/me', { apiKey: key.secretKey })).status).toBe(401);
      expect((await app.post('/auth/login', { body: { email: user.email, password: user.password } })).status).toBe(
        401,
      );
      await app.patch(`/users/${user.id}`, { token: admin, body: { isActive: true } });
      expect(await verify()).toBe('VALID');
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(401);
      expect(await app.tokenOf(user.email, user.password)).toEqual(expect.any(String));
    });

    it('answers with ?wait=true only once no replica lets the user’s keys pass any more', async () => {
      const user = await app.addUser(['creator']);
      const key = (await app.post('/api-keys', { token: user.token })).body.secretKey;
      for (let round = 0; round < 5; round += 1) {
        const verdict = async () => (await app.post('/verify', { token: admin, body: { key } })).body.code;
        await app.patch(`/users/${user.id}?wait=true`, { token: admin, body: { isActive: false } });
        expect(await verdict()).toBe('OWNER_INACTIVE');
        await app.patch(`/users/${user.id}?wait=true`, { token: admin, body: { isActive: true } });
        expect(await verdict()).toBe('VALID');
      }
      expect((await app.patch(`/users/${user.id}?wait=yes`, { token: admin, body: { isActive: false } })).status).toBe(
        400,
      );
      expect((await app.get(`/users/${user.id}`, { token: admin })).body.isActive).toBe(true);
    });

    it('replaces the managers of a service account', async () => {
      const [first, second] = [await app.addUser([]), await app.addUser([])];
      const bot = await app.addUser([], { kind: 'service', managerIds: [first.id] });
      const { body } = await app.patch(`/users/${bot.id}`, { token: admin, body: { managerIds: [second.id] } });
      expect(body.managerIds).toEqual([second.id]);
      expect((await trailOf(app, bot.id)).at(-1)?.changes).toEqual([
        { field: 'managerIds', before: [first.id], after: [second.id] },
      ]);
    });
  });

  describe('400', () => {
    it.each([
      [{ kind: 'service' }, 'kind'],
      [{ roles: ['admin'] }, 'roles'],
      [{ password: 'x'.repeat(20) }, 'password'],
      [{ name: null }, 'name'],
      [{ name: '' }, 'name'],
      [{ email: null }, 'email'],
      [{ isActive: null }, 'isActive'],
      [{ isActive: 'false' }, 'isActive'],
      [{ maxActiveKeys: 1.5 }, 'maxActiveKeys'],
      [{ managerIds: ['019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55'] }, 'managerIds'],
      [{ managerIds: null }, 'managerIds'],
      [{ deletedAt: null }, 'deletedAt'],
    ])('refuses %j of a person', async (body, path) => {
      const user = await app.addUser([]);
      const answer = await app.patch(`/users/${user.id}`, { token: admin, body });
      expect(answer.status).toBe(400);
      expect(answer.body.errors[0].path).toBe(path);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.patch('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', { body: {} })).status).toBe(401);
    });
  });

  describe('403', () => {
    it.each([[{ isActive: false }], [{ isActive: true }], [{ email: 'mine@latchkey.test' }], [{ name: 'x' }]])(
      'refuses %j of a user who may do more',
      async (body) => {
        const { token } = await app.addUser(['people']);
        const auditor = await app.addUser(['auditor']);
        expect(await app.patch(`/users/${auditor.id}`, { token, body })).toMatchObject({
          status: 403,
          body: { code: 'CANNOT_GRANT' },
        });
        expect((await app.get('/auth/me', { token: auditor.token })).status).toBe(200);
      },
    );

    it('lets nobody become manager of a service account that may do more', async () => {
      const me = await app.addUser(['people']);
      const bot = await app.addUser(['gateway'], { kind: 'service' });
      expect(await app.patch(`/users/${bot.id}`, { token: me.token, body: { managerIds: [me.id] } })).toMatchObject({
        status: 403,
        body: { code: 'CANNOT_GRANT' },
      });
      const equal = await app.addUser(['creator'], { kind: 'service' });
      expect((await app.patch(`/users/${equal.id}`, { token: me.token, body: { managerIds: [me.id] } })).status).toBe(
        200,
      );
    });

    it('counts a key as caller by what the key may do, not by its owner', async () => {
      const key = (await app.post('/api-keys', { token: admin, body: { roles: ['people'] } })).body.secretKey;
      const [small, auditor] = [await app.addUser(['creator']), await app.addUser(['auditor'])];
      expect((await app.patch(`/users/${small.id}`, { apiKey: key, body: { name: 'By key' } })).status).toBe(200);
      expect((await app.patch(`/users/${auditor.id}`, { apiKey: key, body: { name: 'By key' } })).body.code).toBe(
        'CANNOT_GRANT',
      );
    });
  });

  describe('404', () => {
    it('does not know users who are not there', async () => {
      expect(
        (await app.patch('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', { token: admin, body: {} })).body.code,
      ).toBe('USER_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('refuses an address that is taken', async () => {
      const [one, two] = [await app.addUser([]), await app.addUser([])];
      expect(
        (await app.patch(`/users/${one.id}`, { token: admin, body: { email: two.email.toUpperCase() } })).body.code,
      ).toBe('EMAIL_TAKEN');
    });

    it('keeps the last admin active, and the session', async () => {
      const me = (await app.get('/auth/me', { token: admin })).body.user.id;
      await app.addUser(['admin'], { kind: 'service' });
      expect(await app.patch(`/users/${me}`, { token: admin, body: { isActive: false } })).toMatchObject({
        status: 409,
        body: { code: 'LAST_ADMIN' },
      });
      expect((await app.get('/auth/me', { token: admin })).status).toBe(200);
    });

    it('leaves one admin when two disable each other, or themselves, at once', async () => {
      const { body: me } = await app.get('/auth/me', { token: admin });
      for (let round = 0; round < 8; round += 1) {
        const other = await app.addUser(['admin']);
        const pairs = round % 2 === 0 ? [other.id, me.user.id] : [me.user.id, other.id];
        const answers = await Promise.all([
          app.patch(`/users/${pairs[0]}`, { token: admin, body: { isActive: false } }),
          app.patch(`/users/${pairs[1]}`, { token: other.token, body: { isActive: false } }),
        ]);
        const statuses = answers.map(({ status }) => status).sort();
        expect(statuses[0]).toBe(200);
        expect([401, 403, 409]).toContain(statuses[1]);
        if (round % 2 === 1) expect(answers.some(({ body }) => body.code === 'LAST_ADMIN')).toBe(true);
        const [row] = await app.dataSource.query<{ count: number }[]>(
          `SELECT count(*)::int AS count FROM users u JOIN user_role r ON r.user_id = u.id WHERE role_name = 'admin' AND is_active AND kind = 'person'`,
        );
        expect(row?.count).toBe(1);
        await app.dataSource.query(`UPDATE users SET is_active = id = $1 WHERE kind = 'person'`, [me.user.id]);
        admin = await app.tokenOf(ADMIN.email, ADMIN.password);
      }
    });
  });
});
