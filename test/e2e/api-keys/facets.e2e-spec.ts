import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { storeKeys } from '../../support/stored-keys.js';

const past = new Date(Date.now() - 60_000);

describe('GET /api-keys/facets', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser();
    const other = await app.addUser();
    await storeKeys(app, [
      { ownerId: owner.id, tags: ['a', 'b'], scopes: ['s'] },
      { ownerId: owner.id, tags: ['a'], scopes: ['s', 't'], environment: 'test' },
      { ownerId: owner.id, tags: ['a'], expiresAt: past },
      { ownerId: owner.id, isActive: false },
      { ownerId: other.id, tags: ['b', 'c'], revokedAt: past },
    ]);
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('counts what is filtered by status, environment, owner, tag and scope', async () => {
      const { status, body } = await app.get(`/api-keys/facets?ownerId=${owner.id}`, { token: admin });
      expect(status).toBe(200);
      expect(body).toEqual({
        total: 4,
        totalIsCapped: false,
        status: [
          { value: 'revoked', count: 0 },
          { value: 'inactive', count: 1 },
          { value: 'expired', count: 1 },
          { value: 'pending', count: 0 },
          { value: 'active', count: 2 },
        ],
        environment: [
          { value: 'live', count: 3 },
          { value: 'test', count: 1 },
        ],
        owners: [{ value: owner.id, name: `User ${owner.email}`, count: 4 }],
        tags: [
          { value: 'a', count: 3 },
          { value: 'b', count: 1 },
        ],
        scopes: [
          { value: 's', count: 2 },
          { value: 't', count: 1 },
        ],
      });
    });

    it('counts nothing for the other values of a facet that is itself filtered', async () => {
      const { body } = await app.get('/api-keys/facets?status=revoked&environment=live', { token: admin });
      expect(body).toMatchObject({
        total: 1,
        status: [{ value: 'revoked', count: 1 }, { count: 0 }, { count: 0 }, { count: 0 }, { count: 0 }],
      });
      expect(body.tags).toEqual([
        { value: 'b', count: 1 },
        { value: 'c', count: 1 },
      ]);
    });

    it('finds owners by name, and tags and scopes, beyond the twenty largest', async () => {
      const busy = await app.addUser();
      await storeKeys(
        app,
        Array.from({ length: 60 }, (_, index) => ({
          ownerId: busy.id,
          tags: [`tag-${index % 30}`],
          scopes: [index === 59 ? 'Rare:Scope' : 'usual'],
        })),
      );
      const of = async (matching: string) =>
        (await app.get(`/api-keys/facets?ownerId=${busy.id}&matching=${matching}`, { token: admin })).body;
      expect((await of('AG-29')).tags).toEqual([{ value: 'tag-29', count: 2 }]);
      expect((await of('rare')).scopes).toEqual([{ value: 'Rare:Scope', count: 1 }]);
      const [{ name }] = (await app.get(`/api-keys/facets?ownerId=${busy.id}`, { token: admin })).body.owners;
      expect((await of(encodeURIComponent(name.slice(1)))).owners).toEqual([{ value: busy.id, name, count: 60 }]);
      expect(await of('no%25such_')).toMatchObject({ total: 60, owners: [], tags: [], scopes: [] });
      await app.dataSource.query('DELETE FROM api_key WHERE owner_id = $1', [busy.id]);
    });

    it('gives empty groups for an empty list', async () => {
      const stranger = await app.addUser();
      const { body } = await app.get('/api-keys/facets', { token: stranger.token });
      expect(body).toMatchObject({ total: 0, owners: [], tags: [], scopes: [] });
    });

    it('names at most twenty of each, and of a long list only its newest keys', async () => {
      const busy = await app.addUser();
      await storeKeys(
        app,
        Array.from({ length: 10_005 }, (_, index) => ({
          ownerId: busy.id,
          tags: [`tag-${String(index % 30).padStart(2, '0')}`],
        })),
      );
      const { body } = await app.get(`/api-keys/facets?ownerId=${busy.id}`, { token: admin });
      expect(body).toMatchObject({ total: 10_000, totalIsCapped: true });
      expect(body.status.at(-1)).toEqual({ value: 'active', count: 10_000 });
      expect(body.tags).toHaveLength(20);
      await app.dataSource.query('DELETE FROM api_key WHERE owner_id = $1', [busy.id]);
    });
  });

  describe('400', () => {
    it.each([
      'page=1',
      'sort=name',
      'status=dead',
      'matching=',
      `matching=${'a'.repeat(101)}`,
      'matching=a&matching=b',
    ])('refuses %s', async (query) => {
      expect((await app.get(`/api-keys/facets?${query}`, { token: admin })).status).toBe(400);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/api-keys/facets')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('refuses to count another’s keys', async () => {
      const stranger = await app.addUser();
      expect((await app.get(`/api-keys/facets?ownerId=${owner.id}`, { token: stranger.token })).status).toBe(403);
    });
  });
});
