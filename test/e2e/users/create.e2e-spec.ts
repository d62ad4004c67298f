import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

const PASSWORD = 'correct horse battery staple';

describe('POST /users', () => {
  let app: TestApp;
  let admin: string;
  let count = 0;
  const email = () => `new-${(count += 1)}@latchkey.test`;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('people', ['platform:users:*', 'platform:api-keys:create']);
    await app.addRole('bound-people', ['platform:users:*', 'platform:api-keys:create'], { maxRateLimitPerMinute: 10 });
    await app.addRole('narrow', [], { maxRateLimitPerMinute: 5 });
  });
  afterAll(() => app.stop());

  describe('201', () => {
    it('makes a person who can sign in with the roles given', async () => {
      const address = email();
      const { status, body } = await app.post('/users', {
        token: admin,
        body: { email: `  ${address} `, name: ' Ada ', password: PASSWORD, roles: ['user', 'creator'] },
      });
      expect(status).toBe(201);
      expect(body).toEqual({
        id: expect.any(String),
        email: address,
        name: 'Ada',
        kind: 'person',
        managerIds: [],
        roles: ['creator', 'user'],
        isActive: true,
        maxActiveKeys: null,
        signsInWith: 'password',
        version: expect.any(String),
        isEmailVerified: null,
        hasSecondFactor: false,
        createdAt: expect.any(String),
        lastSignInAt: null,
      });
      const token = await app.tokenOf(address.toUpperCase(), PASSWORD);
      expect((await app.get('/auth/me', { token })).body.permissions).toEqual(['platform:api-keys:create']);
    });

    it('makes a service account with managers, who own its keys', async () => {
      const manager = await app.addUser(['creator']);
      const { status, body } = await app.post('/users', {
        token: admin,
        body: { name: 'Bot', kind: 'service', managerIds: [manager.id.toUpperCase()], maxActiveKeys: 2 },
      });
      expect(status).toBe(201);
      expect(body).toMatchObject({ kind: 'service', email: null, managerIds: [manager.id], maxActiveKeys: 2 });
      const key = await app.post('/api-keys', { token: admin, body: { ownerId: body.id } });
      expect((await app.get(`/api-keys/${key.body.apiKey.id}`, { token: manager.token })).status).toBe(200);
    });

    it('writes one audit entry with every field and no password', async () => {
      const { body } = await app.post('/users', {
        token: admin,
        body: { email: email(), name: 'Audited', password: PASSWORD },
      });
      const rows = await trailOf(app, body.id);
      expect(rows).toMatchObject([{ action: 'users:create', actor_kind: 'user', resource_type: 'user' }]);
      expect(rows[0]?.changes.map((change) => change.field).sort()).toEqual([
        'email',
        'isActive',
        'kind',
        'managerIds',
        'name',
        'roles',
      ]);
      expect(JSON.stringify(rows)).not.toContain(PASSWORD);
      expect(JSON.stringify(rows)).not.toContain('argon2');
    });

    it('lets a user bound by a key policy make users within it', async () => {
      const { token } = await app.addUser(['bound-people']);
      const { status } = await app.post('/users', {
        token,
        body: { email: email(), name: 'Inside', roles: ['creator', 'narrow'] },
      });
      expect(status).toBe(201);
    });
  });

  describe('400', () => {
    it.each([
      ['a person without an address', { name: 'x' }, ['email']],
      ['a bad address', { name: 'x', email: 'nobody' }, ['email']],
      ['an address with a NUL', { name: 'x', email: 'a\0b@latchkey.test' }, ['email']],
      ['a lone surrogate', { name: '\ud800', email: 'a@latchkey.test' }, ['name']],
      ['a blank name', { name: '  ', email: 'a@latchkey.test' }, ['name']],
      ['a short password', { name: 'x', email: 'a@latchkey.test', password: 'elevenchars' }, ['password']],
      [
        'a password of 1 025 characters',
        { name: 'x', email: 'a@latchkey.test', password: 'p'.repeat(1025) },
        ['password'],
      ],
      [
        'the address as password',
        { name: 'x', email: 'long.address@latchkey.test', password: 'Long.Address@latchkey.test' },
        ['password'],
      ],
      [
        'managers of a person',
        { name: 'x', email: 'a@latchkey.test', managerIds: ['019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55'] },
        ['managerIds'],
      ],
      ['a password of a service account', { name: 'x', kind: 'service', password: PASSWORD }, ['password']],
      [
        'a manager who does not exist',
        { name: 'x', kind: 'service', managerIds: ['019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55'] },
        ['managerIds'],
      ],
      ['a role that does not exist', { name: 'x', email: 'a@latchkey.test', roles: ['nobody'] }, ['roles']],
      ['a negative cap', { name: 'x', email: 'a@latchkey.test', maxActiveKeys: -1 }, ['maxActiveKeys']],
      [
        'fields that are no fields',
        { name: 'x', email: 'a@latchkey.test', passwordHash: 'x', oidcSubject: 'y' },
        ['oidcSubject', 'passwordHash'],
      ],
      ['lists for scalars', { name: ['x'], email: {}, kind: [] }, ['email', 'kind', 'name']],
    ])('refuses %s', async (_, body, paths) => {
      const answer = await app.post('/users', { token: admin, body });
      expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
      expect([...new Set(answer.body.errors.map((error: { path: string }) => error.path))].sort()).toEqual(paths);
    });

    it('refuses a service account as manager', async () => {
      const bot = await app.addUser([], { kind: 'service' });
      const answer = await app.post('/users', {
        token: admin,
        body: { name: 'x', kind: 'service', managerIds: [bot.id] },
      });
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ path: 'managerIds' }] } });
    });
  });

  describe('401', () => {
    it('asks for credentials before it looks at the body', async () => {
      expect((await app.post('/users', { body: {} })).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the missing permission', async () => {
      const { token } = await app.addUser(['creator']);
      expect(await app.post('/users', { token, body: { name: 'x', email: email() } })).toMatchObject({
        status: 403,
        body: { code: 'PERMISSION_DENIED', permission: 'platform:users:create' },
      });
    });

    it('refuses roles whose grants the caller does not hold, and makes nobody', async () => {
      const { token } = await app.addUser(['people']);
      const address = email();
      const answer = await app.post('/users', {
        token,
        body: { name: 'x', email: address, roles: ['creator', 'auditor'] },
      });
      expect(answer).toMatchObject({
        status: 403,
        body: { code: 'CANNOT_GRANT', grants: ['platform:*:read', 'platform:audit:export'] },
      });
      expect((await app.get(`/users?search=${encodeURIComponent(address)}`, { token: admin })).body.meta.total).toBe(0);
    });

    it('refuses an inactive role too: it may be active tomorrow', async () => {
      await app.addRole('sleeping', ['*']);
      await app.dataSource.query(`UPDATE role SET is_active = false WHERE name = 'sleeping'`);
      const { token } = await app.addUser(['people']);
      expect(
        (await app.post('/users', { token, body: { name: 'x', email: email(), roles: ['sleeping'] } })).body.code,
      ).toBe('CANNOT_GRANT');
    });

    it('lets nobody out of a key policy by way of a new user', async () => {
      const { token } = await app.addUser(['bound-people']);
      const answer = await app.post('/users', { token, body: { name: 'x', email: email(), roles: ['creator'] } });
      expect(answer).toMatchObject({ status: 403, body: { code: 'OUTSIDE_POLICY' } });
    });
  });

  describe('409', () => {
    it('refuses an address that is taken, whatever its case', async () => {
      const address = email();
      await app.post('/users', { token: admin, body: { name: 'x', email: address } });
      expect(
        await app.post('/users', { token: admin, body: { name: 'y', email: address.toUpperCase() } }),
      ).toMatchObject({ status: 409, body: { code: 'EMAIL_TAKEN' } });
    });

    it('gives an address to one of ten who ask at once', async () => {
      const address = email();
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => app.post('/users', { token: admin, body: { name: 'x', email: address } })),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 9 }, () => 409)]);
    });
  });
});
