import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

describe('POST /roles', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('role-maker', ['platform:roles:*', 'platform:api-keys:create']);
    await app.addRole('bound-maker', ['platform:roles:*', 'platform:api-keys:create'], { maxRateLimitPerMinute: 10 });
  });
  afterAll(() => app.stop());

  describe('201', () => {
    it('makes a role that counts at once, and writes its fields into the trail', async () => {
      const keyPolicy = { maxRateLimitPerMinute: 60, models: ['gpt-*'] };
      const { status, body } = await app.post('/roles', {
        token: admin,
        body: { name: 'trial', description: 'Trial', permissions: ['platform:api-keys:create'], keyPolicy },
      });
      expect(status).toBe(201);
      expect(body).toMatchObject({
        name: 'trial',
        permissions: ['platform:api-keys:create'],
        keyPolicy,
        isActive: true,
      });
      const { token } = await app.addUser(['trial']);
      expect((await app.post('/api-keys', { token })).body.apiKey).toMatchObject({
        rateLimitPerMinute: 60,
        allowedModels: ['gpt-*'],
      });
      expect((await trailOf(app, 'trial'))[0]).toMatchObject({
        action: 'roles:create',
        resource_type: 'role',
        changes: expect.arrayContaining([{ field: 'keyPolicy', before: null, after: keyPolicy }]),
      });
    });

    it('makes a role of wildcards that lie inside what the caller holds', async () => {
      const { token } = await app.addUser(['role-maker']);
      expect(
        (
          await app.post('/roles', {
            token,
            body: { name: 'reader', permissions: ['platform:roles:read', 'platform:roles:*'] },
          })
        ).status,
      ).toBe(201);
    });
  });

  describe('400', () => {
    it.each([
      [{}, ['name']],
      [{ name: 'No' }, ['name']],
      [{ name: '9x' }, ['name']],
      [{ name: 'a'.repeat(65) }, ['name']],
      [{ name: ['x'] }, ['name']],
      [{ name: 'x', permissions: ['no grant'] }, ['permissions.0']],
      [{ name: 'x', permissions: ['platform:api-keys:fly'] }, ['permissions.0']],
      [{ name: 'x', permissions: ['platform:*:fly'] }, ['permissions.0']],
      [{ name: 'x', permissions: ['*', '*'] }, ['permissions.1']],
      [{ name: 'x', permissions: '*' }, ['permissions']],
      [{ name: 'x', description: 'a\0b' }, ['description']],
      [{ name: 'x', keyPolicy: [] }, ['keyPolicy']],
      [
        { name: 'x', keyPolicy: { maxValidityDays: 0, models: ['a\n'], other: 1 } },
        ['keyPolicy.maxValidityDays', 'keyPolicy.models.0', 'keyPolicy.other'],
      ],
      [
        { name: 'x', keyPolicy: { maxValidityDays: 1, defaults: { validityDays: 2 } } },
        ['keyPolicy.defaults.validityDays'],
      ],
      [{ name: 'x', isSeeded: true }, ['isSeeded']],
    ])('refuses %j', async (body, paths) => {
      const answer = await app.post('/roles', { token: admin, body });
      expect(answer.status).toBe(400);
      expect([...new Set(answer.body.errors.map((error: { path: string }) => error.path))].sort()).toEqual(paths);
    });

    it('names an amount of a default that the policy itself would refuse in parts, in the list and in the sentence', async () => {
      const keyPolicy = { maxBudgetLimitCents: 500, defaults: { budgetLimitCents: 501 } };
      const { status, body } = await app.post('/roles', { token: admin, body: { name: 'x', keyPolicy } });
      const path = 'keyPolicy.defaults.budgetLimitCents';
      expect([status, body.detail]).toEqual([400, `${path}: must be at most 500 cents`]);
      expect(body.errors[0]).toMatchObject({ path, messageParts: [{ text: 'must be at most ' }, { cents: 500 }] });
      expect(body.detailParts).toEqual([{ text: `${path}: must be at most ` }, { cents: 500 }]);
    });
  });

  describe('401', () => {
    it('asks for credentials before it looks at the body', async () => {
      expect((await app.post('/roles', { body: {} })).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the missing permission', async () => {
      const { token } = await app.addUser(['creator']);
      expect((await app.post('/roles', { token, body: { name: 'x' } })).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:roles:create',
      });
    });

    it.each([['*'], ['platform:*'], ['platform:api-keys:*'], ['platform:audit:read']])(
      'refuses the grant %s, which the caller does not hold, in a role that sleeps as well',
      async (grant) => {
        const { token } = await app.addUser(['role-maker']);
        for (const isActive of [true, false]) {
          expect(
            (await app.post('/roles', { token, body: { name: 'too-much', permissions: [grant], isActive } })).body,
          ).toMatchObject({ code: 'CANNOT_GRANT', grants: [grant] });
        }
      },
    );

    it('lets nobody state a wider key policy than the caller’s own, nor create keys without one', async () => {
      const { token } = await app.addUser(['bound-maker']);
      const post = (body: object) => app.post('/roles', { token, body: { name: 'escape', ...body } });
      for (const body of [
        { keyPolicy: {} },
        { keyPolicy: { maxRateLimitPerMinute: 11 } },
        { permissions: ['platform:api-keys:create'] },
      ]) {
        expect(await post(body)).toMatchObject({ status: 403, body: { code: 'OUTSIDE_POLICY' } });
      }
      expect(
        (await post({ permissions: ['platform:api-keys:create'], keyPolicy: { maxRateLimitPerMinute: 9 } })).status,
      ).toBe(201);
    });
  });

  describe('409', () => {
    it('gives a name to one of ten who ask at once', async () => {
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => app.post('/roles', { token: admin, body: { name: 'once' } })),
      );
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
      expect(answers.filter(({ body }) => body.code === 'ROLE_NAME_TAKEN')).toHaveLength(9);
    });
  });
});
