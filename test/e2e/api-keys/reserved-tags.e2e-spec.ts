import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { SEEDED_ROLES } from '../../../src/users/seed.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { isInDays, makeKey, pathsOf } from '../../support/made-keys.js';

describe('In a new installation', () => {
  let app: TestApp;
  let admin: string;
  let creator: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    for (const { name, keyPolicy } of SEEDED_ROLES)
      await app.dataSource.query('UPDATE role SET key_policy = $2 WHERE name = $1', [name, keyPolicy]);
    admin = await app.adminToken();
    await app.addRole('importer', ['platform:api-keys:create', 'platform:api-keys:assign']);
    creator = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  it('keys of creators have limits, a budget and an end', async () => {
    const { view } = await makeKey(app, creator.token);
    expect(view).toMatchObject({
      rateLimitPerMinute: 600,
      isUnlimited: false,
      budgetLimitCents: 10_000,
      budgetType: 'monthly',
    });
    expect(isInDays(view.expiresAt, 90)).toBe(true);
  });

  it('creators cannot ask for more', async () => {
    const answer = await app.post('/api-keys', {
      token: creator.token,
      body: { isUnlimited: true, rateLimitPerMinute: 601, expiresAt: null },
    });
    expect([answer.status, pathsOf(answer)]).toEqual([403, ['expiresAt', 'isUnlimited', 'rateLimitPerMinute']]);
  });

  it.each([['plan:gold'], ['role:admin'], ['Plan:gold']])(
    'an owner cannot write the tag %s by any route',
    async (tag) => {
      const importer = await app.addUser(['creator', 'importer']);
      const alias = `mine-${tag.replace(/\W/g, '-')}`;
      const { id } = await makeKey(app, importer.token, { alias, tags: ['team:a'] });
      const { token } = importer;
      const answers = [
        await app.post('/api-keys', { token, body: { tags: [tag] } }),
        await app.patch(`/api-keys/${id}`, { token, body: { tags: ['team:a', tag] } }),
        await app.put(`/api-keys/${id}`, { token, body: { tags: [tag] } }),
        await app.put(`/api-keys/by-alias/${alias}`, { token, body: { name: 'x', tags: [tag] } }),
        await app.put(`/api-keys/by-alias/other-${alias}`, { token, body: { name: 'x', tags: [tag] } }),
      ];
      expect(answers.map((answer) => [answer.status, answer.body.code, pathsOf(answer)])).toEqual(
        answers.map(() => [403, 'OUTSIDE_POLICY', ['tags']]),
      );
      const bulk = await app.post('/api-keys/bulk', { token, body: { ids: [id], action: 'tag', add: [tag] } });
      expect(bulk.body.results[0]).toMatchObject({ outcome: 'refused', code: 'OUTSIDE_POLICY' });
      const sha256 = createHash('sha256').update(tag).digest('hex');
      const imported = await app.post('/api-keys/import', {
        token,
        body: { keys: [{ sha256, prefix: 'sk-old', tags: [tag] }] },
      });
      expect(imported.body.results[0]).toMatchObject({ outcome: 'refused', code: 'OUTSIDE_POLICY' });
      expect((await app.get(`/api-keys/${id}`, { token })).body.tags).toEqual(['team:a']);
    },
  );

  describe('a reserved tag that an administrator wrote', () => {
    it('stays when the owner changes other tags, and cannot be removed by the owner', async () => {
      const { id } = await makeKey(app, admin, { ownerId: creator.id, tags: ['plan:free'] });
      const patch = (tags: string[]) => app.patch(`/api-keys/${id}`, { token: creator.token, body: { tags } });
      expect((await patch(['team:b', 'plan:free'])).status).toBe(200);
      expect((await patch(['team:b'])).body.code).toBe('OUTSIDE_POLICY');
      expect((await patch(['team:b', 'plan:gold'])).body.code).toBe('OUTSIDE_POLICY');
      const bulk = await app.post('/api-keys/bulk', {
        token: creator.token,
        body: { ids: [id], action: 'tag', remove: ['plan:free'] },
      });
      expect(bulk.body.results[0]).toMatchObject({ outcome: 'refused', code: 'OUTSIDE_POLICY' });
      expect((await app.patch(`/api-keys/${id}`, { token: creator.token, body: { name: 'Renamed' } })).status).toBe(
        200,
      );
    });

    it('is also kept from owners who may make no keys', async () => {
      const user = await app.addUser(['user']);
      const { id } = await makeKey(app, admin, { ownerId: user.id, tags: ['plan:free'] });
      expect((await app.patch(`/api-keys/${id}`, { token: user.token, body: { tags: ['plan:gold'] } })).body.code).toBe(
        'OUTSIDE_POLICY',
      );
      expect(
        (await app.patch(`/api-keys/${id}`, { token: user.token, body: { tags: ['plan:free', 'team:c'] } })).status,
      ).toBe(200);
    });

    it.each<[string, (id: string) => Promise<unknown>]>([
      ['lost every role', (id) => app.put(`/users/${id}/roles`, { token: admin, body: { roles: [] } })],
      [
        'has a role without a policy alone',
        (id) => app.put(`/users/${id}/roles`, { token: admin, body: { roles: ['importer'] } }),
      ],
      [
        'has the roles that reserve it, switched off',
        () => app.dataSource.query(`UPDATE role SET is_active = false WHERE name = 'creator'`),
      ],
    ])('is kept from an owner who %s', async (_, changeRights) => {
      const owner = await app.addUser(['creator']);
      const { id } = await makeKey(app, admin, { ownerId: owner.id, tags: ['plan:free'] });
      await changeRights(owner.id);
      try {
        const patch = (tags: string[]) => app.patch(`/api-keys/${id}`, { token: owner.token, body: { tags } });
        for (const tags of [['plan:enterprise'], ['plan:free', 'Role:admin'], []]) {
          const answer = await patch(tags);
          expect([answer.status, answer.body.code, pathsOf(answer)]).toEqual([403, 'OUTSIDE_POLICY', ['tags']]);
        }
        expect((await patch(['plan:free', 'team:c'])).status).toBe(200);
        const me = await app.get('/auth/me', { token: owner.token });
        expect(me.body.keyPolicy).toMatchObject({ reservedTagPrefixes: ['plan:', 'role:'] });
      } finally {
        await app.dataSource.query(`UPDATE role SET is_active = true WHERE name = 'creator'`);
      }
    });

    it('does not move to another owner on the word of the owner', async () => {
      await app.addRole('giver', ['platform:api-keys:create', 'platform:api-keys:assign']);
      const giver = await app.addUser(['creator', 'giver']);
      const { id } = await makeKey(app, admin, {
        ownerId: giver.id,
        tags: ['plan:gold'],
        rateLimitPerMinute: 5,
        budgetLimitCents: 1,
        expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
      });
      const answer = await app.post(`/api-keys/${id}/transfer`, { token: giver.token, body: { ownerId: creator.id } });
      expect([answer.body.code, pathsOf(answer)]).toEqual(['OUTSIDE_POLICY', ['tags']]);
    });
  });

  it('nobody whom it binds drops the reservation from a role', async () => {
    await app.addRole('roles', ['platform:roles:*', 'platform:api-keys:create']);
    const me = await app.addUser(['creator', 'roles']);
    await app.addRole('team', ['platform:api-keys:create'], {
      ...SEEDED_ROLES.find(({ name }) => name === 'creator')!.keyPolicy,
    });
    const { reservedTagPrefixes: _, ...rest } = SEEDED_ROLES.find(({ name }) => name === 'creator')!.keyPolicy!;
    expect((await app.patch('/roles/team', { token: me.token, body: { keyPolicy: rest } })).body.code).toBe(
      'OUTSIDE_POLICY',
    );
    expect((await app.patch('/roles/team', { token: admin, body: { keyPolicy: rest } })).status).toBe(200);
  });
});
