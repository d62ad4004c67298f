import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import {
  countByStatus,
  expire,
  inDays,
  isInDays,
  makeKey,
  pathsOf,
  trailOf,
  verdictOn,
} from '../../support/made-keys.js';

describe('PUT /api-keys/by-alias/:alias', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let count = 0;

  const fresh = () => `alias-${(count += 1)}`;
  const put = (alias: string, token: string, body: object = { name: 'Nightly' }, query = '') =>
    app.put(`/api-keys/by-alias/${alias}${query}`, { token, body });

  beforeAll(async () => {
    app = await TestApp.start({ KEY_VALIDITY_DAYS: '15' });
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('201', () => {
    it('makes a key of an unknown alias with its secret and its first window', async () => {
      const alias = fresh();
      const { status, body, headers } = await put(alias, owner.token, { name: ' Nightly ', scopes: ['x'] });
      expect(status).toBe(201);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(body).toMatchObject({
        renewed: false,
        apiKey: { alias, name: 'Nightly', scopes: ['x'], roles: [], ownerId: owner.id },
      });
      expect(isInDays(body.apiKey.expiresAt, 15)).toBe(true);
      expect(await verdictOn(app, body.secretKey)).toBe('VALID');
      expect(await trailOf(app, body.apiKey.id)).toMatchObject([{ action: 'api-keys:create' }]);
    });

    it.each([
      ['validityDays', () => ({ validityDays: 3 }), 3],
      // From now on, and not from when the tests of the folder were loaded.
      ['expiresAt', () => ({ expiresAt: inDays(9) }), 9],
    ])('lets %s say how long the first window is', async (_, fields, days) => {
      const { body } = await put(fresh(), owner.token, { name: 'x', ...fields() });
      expect(isInDays(body.apiKey.expiresAt, days)).toBe(true);
    });

    it('makes a new key where the old one was revoked', async () => {
      const alias = fresh();
      const { body: first } = await put(alias, owner.token);
      await app.post(`/api-keys/${first.apiKey.id}/revoke`, { token: owner.token });
      const { status, body } = await put(alias, owner.token);
      expect(status).toBe(201);
      expect(body.apiKey.id).not.toBe(first.apiKey.id);
    });

    it('makes one for another owner with the permission to assign', async () => {
      const { status, body } = await put(fresh(), admin, { name: 'x' }, `?ownerId=${owner.id.toUpperCase()}`);
      expect(status).toBe(201);
      expect(body.apiKey.ownerId).toBe(owner.id);
    });

    it('makes one for the owner of a key that calls', async () => {
      const caller = await makeKey(app, owner.token, { roles: ['creator'] });
      const { status, body } = await app.put(`/api-keys/by-alias/${fresh()}`, {
        apiKey: caller.secret,
        body: { name: 'x' },
      });
      expect(status).toBe(201);
      expect(body.apiKey.ownerId).toBe(owner.id);
    });
  });

  describe('200', () => {
    it('renews the key of a known alias: window, name and roles, never the secret', async () => {
      const alias = fresh();
      const { body: first } = await put(alias, owner.token, { name: 'Old', roles: ['creator'], scopes: ['kept'] });
      await expire(app, first.apiKey.id);
      const { status, body } = await put(alias, owner.token, { name: 'New' });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        renewed: true,
        apiKey: { id: first.apiKey.id, name: 'New', roles: [], scopes: ['kept'], status: 'active' },
      });
      expect(body.secretKey).toBeUndefined();
      expect(isInDays(body.apiKey.expiresAt, 15)).toBe(true);
      expect(await verdictOn(app, first.secretKey)).toBe('VALID');
      expect((await trailOf(app, first.apiKey.id)).at(-1)).toMatchObject({
        action: 'api-keys:renew',
        details: { isByAlias: true },
      });
    });

    it('activates what the owner deactivated', async () => {
      const alias = fresh();
      const { body: first } = await put(alias, owner.token);
      await app.post(`/api-keys/${first.apiKey.id}/deactivate`, { token: owner.token });
      expect((await put(alias, owner.token)).body.apiKey.status).toBe('active');
    });

    it('changes other fields that are given as an update would, and keeps the rest', async () => {
      const alias = fresh();
      await put(alias, owner.token, { name: 'x', rateLimitPerMinute: 10, tags: ['a'] });
      const { body } = await put(alias, owner.token, { name: 'x', rateLimitPerMinute: 5 });
      expect(body.apiKey).toMatchObject({ rateLimitPerMinute: 5, tags: ['a'] });
    });

    it('tells owners apart', async () => {
      const alias = fresh();
      const { body: own } = await put(alias, owner.token);
      const { status, body } = await put(alias, admin);
      expect(status).toBe(201);
      expect(body.apiKey.id).not.toBe(own.apiKey.id);
      const renewed = await put(alias, admin, { name: 'By admin' }, `?ownerId=${owner.id}`);
      expect(renewed.body).toMatchObject({ renewed: true, apiKey: { id: own.apiKey.id, name: 'By admin' } });
    });

    it('lets a manager renew the key of a managed service account', async () => {
      const manager = await app.addUser(['user']);
      const service = await app.addUser([], { kind: 'service', managerIds: [manager.id] });
      const alias = fresh();
      await put(alias, admin, { name: 'x' }, `?ownerId=${service.id}`);
      expect((await put(alias, manager.token, { name: 'y' }, `?ownerId=${service.id}`)).body.renewed).toBe(true);
    });

    it('creates once and renews nine times when ten ask at once', async () => {
      const alias = fresh();
      const answers = await Promise.all(Array.from({ length: 10 }, () => put(alias, owner.token)));
      expect(countByStatus(answers)).toEqual({ 200: 9, 201: 1 });
      expect(new Set(answers.map(({ body }) => body.apiKey.id)).size).toBe(1);
    });

    it('creates or renews beside a plain create of the same alias, never both', async () => {
      const alias = fresh();
      const [created, ...puts] = await Promise.all([
        app.post('/api-keys', { token: owner.token, body: { alias } }),
        ...Array.from({ length: 5 }, () => put(alias, owner.token)),
      ]);
      expect([created, ...puts].filter(({ status }) => status === 201)).toHaveLength(1);
      expect(puts.every(({ status }) => status === 200 || status === 201)).toBe(true);
    });
  });

  describe('400', () => {
    it.each([
      ['an alias outside its grammar', 'a%20b', {}, '', 'alias'],
      ['an alias of 101 characters', 'a'.repeat(101), {}, '', 'alias'],
      ['a missing name', 'x', { name: undefined }, '', 'name'],
      ['a blank name', 'x', { name: ' ' }, '', 'name'],
      ['an alias in the body', 'x', { alias: 'y' }, '', 'alias'],
      ['an owner in the body', 'x', { ownerId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55' }, '', 'ownerId'],
      ['an owner that is no UUID', 'x', {}, '?ownerId=me', 'ownerId'],
      ['an owner that does not exist', 'x', {}, '?ownerId=019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', 'ownerId'],
    ])('refuses %s', async (_, alias, body, query, path) => {
      const answer = await put(alias, admin, { name: 'x', ...body }, query);
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual([path]);
    });

    it('refuses another environment than the key has', async () => {
      const alias = fresh();
      await put(alias, admin, { name: 'x', environment: 'test' });
      expect(pathsOf(await put(alias, admin, { name: 'x', environment: 'live' }))).toEqual(['environment']);
      expect((await put(alias, admin, { name: 'x', environment: 'test' })).status).toBe(200);
    });
  });

  describe('403', () => {
    it('refuses to create without the permission', async () => {
      const user = await app.addUser(['user']);
      const { status, body } = await put(fresh(), user.token);
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'PERMISSION_DENIED', permission: 'platform:api-keys:create' });
    });

    it('answers a stranger the same for a known alias, an unknown one and an owner that does not exist', async () => {
      const alias = fresh();
      await put(alias, owner.token);
      const stranger = await app.addUser(['creator']);
      const answers = [
        await put(alias, stranger.token, { name: 'x' }, `?ownerId=${owner.id}`),
        await put(fresh(), stranger.token, { name: 'x' }, `?ownerId=${owner.id}`),
        await put(alias, stranger.token, { name: 'x' }, '?ownerId=019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55'),
      ].map(({ status, body: { requestId: _, ...problem } }) => ({ status, ...problem }));
      expect(answers[0]).toMatchObject({
        status: 403,
        code: 'PERMISSION_DENIED',
        permission: 'platform:api-keys:assign',
      });
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[2]).toEqual(answers[0]);
    });

    it('needs :assign to create and :update to renew for another', async () => {
      await app.addRole('only-update', ['platform:api-keys:create', 'platform:api-keys:update']);
      await app.addRole('only-assign', ['platform:api-keys:create', 'platform:api-keys:assign']);
      const [updater, assigner] = [await app.addUser(['only-update']), await app.addUser(['only-assign'])];
      const alias = fresh();
      const query = `?ownerId=${owner.id}`;
      expect((await put(alias, updater.token, { name: 'x' }, query)).body).toMatchObject({
        permission: 'platform:api-keys:assign',
      });
      expect((await put(alias, assigner.token, { name: 'x' }, query)).status).toBe(201);
      expect((await put(alias, assigner.token, { name: 'x' }, query)).body).toMatchObject({
        permission: 'platform:api-keys:update',
      });
      expect((await put(alias, updater.token, { name: 'x' }, query)).status).toBe(200);
    });

    it('refuses a key as caller to renew without the permission, though it acts for the owner', async () => {
      const caller = await makeKey(app, owner.token, { roles: ['creator'] });
      const alias = fresh();
      await app.put(`/api-keys/by-alias/${alias}`, { apiKey: caller.secret, body: { name: 'x' } });
      const { status, body } = await app.put(`/api-keys/by-alias/${alias}`, {
        apiKey: caller.secret,
        body: { name: 'x' },
      });
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'PERMISSION_DENIED', permission: 'platform:api-keys:update' });
    });

    it('names everything an owner would loosen by it', async () => {
      const alias = fresh();
      const { body: first } = await put(alias, owner.token, { name: 'x', rateLimitPerMinute: 5 });
      const answer = await put(alias, owner.token, {
        name: 'y',
        roles: ['creator'],
        rateLimitPerMinute: 6,
        validityDays: 90,
        expiresAt: inDays(90),
      });
      expect(answer.status).toBe(403);
      expect(answer.body.code).toBe('OWNER_MAY_ONLY_TIGHTEN');
      expect(pathsOf(answer)).toEqual(['expiresAt', 'rateLimitPerMinute', 'roles', 'validityDays']);
      expect((await app.get(`/api-keys/${first.apiKey.id}`, { token: owner.token })).body).toEqual(first.apiKey);
    });

    it('refuses a new key outside the key policy, and a window beyond it', async () => {
      await app.addRole('brief', ['platform:api-keys:create'], { maxValidityDays: 7, maxRateLimitPerMinute: 10 });
      const brief = await app.addUser(['brief']);
      expect(pathsOf(await put(fresh(), brief.token, { name: 'x', rateLimitPerMinute: 11, validityDays: 8 }))).toEqual([
        'expiresAt',
        'rateLimitPerMinute',
        'validityDays',
      ]);
      const alias = fresh();
      await expire(app, (await makeKey(app, admin, { ownerId: brief.id, alias })).id);
      const answer = await put(alias, brief.token);
      expect(answer.body.code).toBe('OUTSIDE_POLICY');
    });

    it('refuses who would revive another’s key that may do more than the caller', async () => {
      await app.addRole('alias-reviver', ['platform:api-keys:update']);
      const helpdesk = await app.addUser(['alias-reviver']);
      const service = await app.addUser(['gateway']);
      const alias = fresh();
      await makeKey(app, admin, { ownerId: service.id, alias, roles: ['gateway'], expiresAt: inDays(1) });
      const { body } = await put(alias, helpdesk.token, { name: 'x', roles: ['gateway'] }, `?ownerId=${service.id}`);
      expect(body.code).toBe('CANNOT_GRANT');
    });
  });

  describe('409', () => {
    it('refuses an owner to bring back what another user deactivated', async () => {
      const alias = fresh();
      const { body: first } = await put(alias, owner.token);
      await app.post(`/api-keys/${first.apiKey.id}/deactivate`, { token: admin });
      const { status, body } = await put(alias, owner.token);
      expect(status).toBe(409);
      expect(body.code).toBe('DEACTIVATED_BY_OTHER');
    });
  });

  describe('429', () => {
    it('counts a key that it creates and one that it brings back', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 1 });
      const alias = fresh();
      const { body: first } = await put(alias, full.token);
      expect((await put(fresh(), full.token)).body.code).toBe('API_KEY_LIMIT_REACHED');
      expect((await put(alias, full.token)).status).toBe(200);
      await expire(app, first.apiKey.id);
      await makeKey(app, full.token);
      expect((await put(alias, full.token)).body).toMatchObject({ code: 'API_KEY_LIMIT_REACHED', maxActiveKeys: 1 });
    });
  });
});
