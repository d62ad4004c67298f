import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { countByStatus, expire, inDays, makeKey, pathsOf, trailOf } from '../../support/made-keys.js';

const RULES = {
  name: 'Old',
  description: 'old',
  scopes: ['a', 'b'],
  roles: ['gateway'],
  rateLimitPerMinute: 50,
  rateLimitPerHour: 500,
  rateLimitPerDay: 5000,
  allowedIps: ['10.0.0.0/8'],
  allowedModels: ['gpt-*'],
  allowedChatbots: ['one', 'two'],
  budgetLimitCents: 100,
  budgetType: 'total',
  tags: ['old'],
  metadata: { team: 'old' },
  validityDays: 30,
};

describe.each(['PATCH', 'PUT'])('%s /api-keys/:id', (method) => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  const update = (id: string, token: string, body: object, query = '') =>
    app.request(method, `/api-keys/${id}${query}`, { token, body });
  /** A key with every field set, made by an admin for the owner. */
  const fullKey = (fields: object = {}) =>
    makeKey(app, admin, { ...RULES, expiresAt: inDays(20), ownerId: owner.id, ...fields });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('keeps the type of a budget that is taken away and given again', async () => {
      const key = await makeKey(app, admin, { budgetLimitCents: 5, budgetType: 'monthly' });
      const patch = (body: object) => update(key.id, admin, body);
      expect((await patch({ isUnlimited: true })).body).toMatchObject({ isUnlimited: true, budgetType: null });
      expect((await patch({ name: 'Still unlimited' })).body.budgetType).toBeNull();
      expect((await patch({ budgetLimitCents: 13 })).body).toMatchObject({
        budgetLimitCents: 13,
        budgetType: 'monthly',
      });
      expect((await patch({ isUnlimited: true })).status).toBe(200);
      const total = await patch({ budgetLimitCents: 13, budgetType: 'total' });
      expect(total.body.budgetType).toBe('total');
    });

    it('lets a holder of the permission change every field, and records each of them', async () => {
      const key = await fullKey({ alias: 'before' });
      const fields = {
        name: 'New',
        description: null,
        alias: 'after',
        scopes: ['c'],
        roles: [],
        rateLimitPerMinute: null,
        rateLimitPerHour: 600,
        rateLimitPerDay: 1,
        allowedIps: [],
        allowedModels: ['claude-*'],
        allowedChatbots: [],
        budgetLimitCents: 12.5,
        budgetType: 'monthly',
        tags: ['new'],
        metadata: { team: 'new' },
        expiresAt: null,
        validityDays: null,
        isActive: false,
      };
      const { status, body } = await update(key.id, admin, fields);
      expect(status).toBe(200);
      expect(body).toMatchObject({
        ...fields,
        isUnlimited: false,
        status: 'inactive',
        deactivatedAt: expect.any(String),
      });
      const [, changed] = await trailOf(app, key.id);
      expect(changed!.action).toBe('api-keys:update');
      expect(changed!.changes.map(({ field }) => field).sort()).toEqual(
        [...Object.keys(fields), 'deactivatedAt', 'deactivatedBy', 'maxExpiresAt'].sort(),
      );
      expect(changed!.changes).toContainEqual({ field: 'budgetLimitCents', before: 100, after: 12.5 });
      expect(changed!.changes).toContainEqual({ field: 'metadata', before: { team: 'old' }, after: { team: 'new' } });
    });

    it('lets an owner rename, tag and tighten every field that can be tightened', async () => {
      const key = await fullKey();
      const fields = {
        name: 'Mine',
        description: 'mine',
        alias: `mine-${method}`,
        tags: [],
        scopes: ['b'],
        roles: [],
        rateLimitPerMinute: 49,
        rateLimitPerHour: 1,
        rateLimitPerDay: 4999,
        allowedIps: ['10.1.0.0/16', '10.2.3.4'],
        allowedModels: ['gpt-4o'],
        allowedChatbots: ['two'],
        budgetLimitCents: 99.999999,
        expiresAt: inDays(10),
        isActive: false,
      };
      const { status, body } = await update(key.id, owner.token, fields);
      expect(status).toBe(200);
      expect(body).toMatchObject({ ...fields, deactivatedBy: owner.id });
    });

    it('lets an owner change a key that lies outside the policy already, as long as it only narrows', async () => {
      await app.addRole(`trial-${method.toLowerCase()}`, ['platform:api-keys:create'], {
        maxRateLimitPerMinute: 10,
        scopes: ['x'],
        maxValidityDays: 7,
      });
      const trial = await app.addUser([`trial-${method.toLowerCase()}`]);
      const key = await fullKey({ ownerId: trial.id });
      const { status, body } = await update(key.id, trial.token, { rateLimitPerMinute: 40, name: 'Narrower' });
      expect(status).toBe(200);
      expect(body).toMatchObject({ rateLimitPerMinute: 40, scopes: ['a', 'b'] });
    });

    it('leaves updatedAt and the trail alone where nothing differs', async () => {
      const key = await fullKey();
      const { status, body } = await update(key.id, owner.token, { name: 'Old', scopes: ['a', 'b'], isActive: true });
      expect(status).toBe(200);
      expect(body.updatedAt).toBe(key.view.updatedAt);
      expect(await trailOf(app, key.id)).toHaveLength(1);
    });

    it('moves updatedAt with a change, and answers after ?wait=true as without', async () => {
      const key = await fullKey();
      const { status, body } = await update(key.id, owner.token, { name: 'Other' }, '?wait=true');
      expect(status).toBe(200);
      expect(body.updatedAt > key.view.updatedAt).toBe(true);
      expect(body.createdAt).toBe(key.view.createdAt);
    });

    it('takes back what it gave, also of an expired key', async () => {
      const key = await fullKey();
      await expire(app, key.id);
      const { body: read } = await app.get(`/api-keys/${key.id}`, { token: owner.token });
      const { status } = await update(key.id, owner.token, {
        name: read.name,
        expiresAt: read.expiresAt,
        budgetLimitCents: read.budgetLimitCents,
        isActive: read.isActive,
      });
      expect(status).toBe(200);
    });

    it('lets a manager tighten a key of a service account of the manager', async () => {
      const manager = await app.addUser(['user']);
      const service = await app.addUser(['gateway'], { kind: 'service', managerIds: [manager.id] });
      const key = await fullKey({ ownerId: service.id });
      expect((await update(key.id, manager.token, { roles: [], rateLimitPerMinute: 1 })).status).toBe(200);
    });

    it('keeps the limit of a budget whose type changes', async () => {
      const key = await fullKey();
      expect((await update(key.id, admin, { budgetType: 'monthly' })).body).toMatchObject({
        budgetType: 'monthly',
        budgetLimitCents: 100,
      });
    });
  });

  describe('400', () => {
    it.each([
      ['an id that is no UUID', 'nothing', {}, 'id'],
      ['a field that is not of an update', '', { colour: 'red' }, 'colour'],
      ['null for a list', '', { scopes: null }, 'scopes'],
      ['null for the name', '', { name: null }, 'name'],
      ['an expiry in the past', '', { expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
      ['a budget type without a budget', '', { isUnlimited: true, budgetType: 'total' }, 'budgetType'],
      ['a role that does not exist', '', { roles: ['nobody-has-it'] }, 'roles'],
      ['text for a flag', '', { isActive: 'false' }, 'isActive'],
    ])('refuses %s', async (_, id, body, path) => {
      const answer = await update(id || (await fullKey()).id, admin, body);
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual([path]);
    });

    it('refuses a query that it does not know', async () => {
      const { status, body } = await update((await fullKey()).id, admin, {}, '?wait=yes');
      expect(status).toBe(400);
      expect(body.errors[0].path).toBe('wait');
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.request(method, `/api-keys/${(await fullKey()).id}`, { body: {} })).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names every field that an owner would loosen, and applies none', async () => {
      const key = await fullKey();
      const answer = await update(key.id, owner.token, {
        name: 'Not applied',
        scopes: ['a', 'c'],
        roles: ['gateway', 'auditor'],
        rateLimitPerMinute: 51,
        rateLimitPerHour: null,
        rateLimitPerDay: 5001,
        allowedIps: ['0.0.0.0/0'],
        allowedModels: [],
        allowedChatbots: ['three'],
        budgetLimitCents: 101,
        budgetType: 'monthly',
        metadata: {},
        expiresAt: null,
        validityDays: 31,
      });
      expect(answer.status).toBe(403);
      expect(answer.body.code).toBe('OWNER_MAY_ONLY_TIGHTEN');
      expect(pathsOf(answer)).toEqual(
        [
          'scopes',
          'roles',
          'rateLimitPerMinute',
          'rateLimitPerHour',
          'rateLimitPerDay',
          'allowedIps',
          'allowedModels',
          'allowedChatbots',
          'budgetLimitCents',
          'budgetType',
          'metadata',
          'expiresAt',
          'validityDays',
        ].sort(),
      );
      const { body } = await app.get(`/api-keys/${key.id}`, { token: owner.token });
      expect(body).toEqual({ ...key.view, allowedActs: expect.any(Array) });
      expect(await trailOf(app, key.id)).toHaveLength(1);
    });

    it('refuses an owner who gives up the budget', async () => {
      const answer = await update((await fullKey()).id, owner.token, { isUnlimited: true });
      expect(answer.body.code).toBe('OWNER_MAY_ONLY_TIGHTEN');
      expect(pathsOf(answer)).toEqual(['isUnlimited']);
    });

    it('refuses to give another’s key a role that grants what the caller lacks, but lets it be taken away', async () => {
      const name = `helpdesk-${method.toLowerCase()}`;
      await app.addRole(name, ['platform:api-keys:update']);
      const helpdesk = await app.addUser([name]);
      const service = await app.addUser(['gateway']);
      const key = await fullKey({ ownerId: service.id, roles: [] });
      const { status, body } = await update(key.id, helpdesk.token, { roles: ['gateway'] });
      expect(status).toBe(403);
      expect(body).toMatchObject({
        code: 'CANNOT_GRANT',
        grants: ['platform:api-keys:verify', 'platform:usage:report'],
      });
      await update(key.id, admin, { roles: ['gateway'] });
      expect((await update(key.id, helpdesk.token, { roles: ['gateway'], scopes: ['a', 'b', 'c'] })).status).toBe(200);
      expect((await update(key.id, helpdesk.token, { roles: [] })).status).toBe(200);
    });

    it('refuses to give another’s key a longer life by a caller who does not hold what it may do', async () => {
      const name = `prolonger-${method.toLowerCase()}`;
      await app.addRole(name, ['platform:api-keys:update']);
      const helpdesk = await app.addUser([name]);
      const service = await app.addUser(['gateway']);
      const key = await fullKey({ ownerId: service.id });
      const longer = await update(key.id, helpdesk.token, { expiresAt: inDays(100) });
      expect(longer.body).toMatchObject({ code: 'CANNOT_GRANT' });
      expect((await update(key.id, helpdesk.token, { expiresAt: inDays(1) })).status).toBe(200);
    });
  });

  describe('404', () => {
    it('is the answer to a key as caller, for itself and for the other keys of its owner', async () => {
      const key = await fullKey();
      const other = await fullKey();
      for (const id of [key.id, other.id]) {
        const { status, body } = await app.request(method, `/api-keys/${id}`, {
          apiKey: key.secret,
          body: { name: 'x' },
          headers: { 'x-forwarded-for': '10.0.0.1' },
        });
        // The key is bound to 10.0.0.0/8, so it does not even get in.
        expect(status).toBe(401);
        expect(body.code).toBe('UNAUTHENTICATED');
      }
      const free = await makeKey(app, owner.token);
      for (const id of [free.id, other.id]) {
        const { status, body } = await app.request(method, `/api-keys/${id}`, {
          apiKey: free.secret,
          body: { name: 'x' },
        });
        expect(status).toBe(404);
        expect(body.code).toBe('API_KEY_NOT_FOUND');
      }
    });
  });

  describe('409', () => {
    it('refuses an alias that another key of the owner has', async () => {
      const alias = `taken-${method}`;
      await fullKey({ alias });
      const key = await fullKey();
      const { status, body } = await update(key.id, owner.token, { alias, name: 'Not applied' });
      expect(status).toBe(409);
      expect(body.code).toBe('ALIAS_TAKEN');
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).body.name).toBe('Old');
    });

    it('refuses any change of a revoked key, and says when it was revoked', async () => {
      const key = await fullKey();
      const { body: revoked } = await app.post(`/api-keys/${key.id}/revoke`, { token: admin });
      const { status, body } = await update(key.id, admin, { name: 'x' });
      expect(status).toBe(409);
      expect(body).toMatchObject({ code: 'ALREADY_REVOKED', revokedAt: revoked.revokedAt });
    });

    it('refuses an owner who activates what another user deactivated', async () => {
      const key = await fullKey();
      await update(key.id, admin, { isActive: false });
      const { status, body } = await update(key.id, owner.token, { isActive: true, name: 'Not applied' });
      expect(status).toBe(409);
      expect(body.code).toBe('DEACTIVATED_BY_OTHER');
      // Deactivating it once more does not make it the owner’s.
      expect((await update(key.id, owner.token, { isActive: false })).body.deactivatedBy).not.toBe(owner.id);
      expect((await update(key.id, owner.token, { isActive: true })).status).toBe(409);
    });

    it('lets either a revoke or an update come first, never an update after the revoke', async () => {
      const key = await fullKey();
      const answers = await Promise.all([
        ...Array.from({ length: 5 }, (_, index) => update(key.id, owner.token, { name: `Name ${index}` })),
        app.post(`/api-keys/${key.id}/revoke`, { token: owner.token }),
        ...Array.from({ length: 5 }, (_, index) => update(key.id, owner.token, { name: `Later ${index}` })),
      ]);
      const trail = await trailOf(app, key.id);
      expect(trail.at(-1)?.changes.map(({ field }) => field)).toEqual(expect.arrayContaining(['revokedAt']));
      expect(answers.filter(({ status }) => ![200, 409].includes(status))).toEqual([]);
      expect(trail).toHaveLength(1 + (countByStatus(answers)[200] ?? 0));
    });
  });

  describe('429', () => {
    it('counts an expired key that an update brings back', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 1 });
      const expired = await makeKey(app, full.token);
      await expire(app, expired.id);
      await makeKey(app, full.token);
      const { status, body } = await update(expired.id, admin, { expiresAt: null });
      expect(status).toBe(429);
      expect(body).toMatchObject({ code: 'API_KEY_LIMIT_REACHED', maxActiveKeys: 1 });
    });
  });
});
