import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';

describe('GET /users', () => {
  let app: TestApp;
  let admin: string;
  const names = async (query: string) =>
    (await app.get(`/users?${query}`, { token: admin })).body.data.map((user: { name: string }) => user.name);

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    for (const [name, kind, roles] of [
      ['Ada 100%', 'person', ['creator']],
      ['Bob_x', 'person', ['user', 'auditor']],
      ['Bot', 'service', []],
    ] as const) {
      await app.post('/users', {
        token: admin,
        body: {
          name,
          kind,
          roles,
          ...(kind === 'person' ? { email: `${name.slice(0, 3).toLowerCase()}@latchkey.test` } : {}),
        },
      });
    }
    const off = await app.post('/users', {
      token: admin,
      body: { name: 'Off', email: 'off@latchkey.test', isActive: false },
    });
    expect(off.status).toBe(201);
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('lists newest first, in pages', async () => {
      const first = await app.get('/users?page=1&size=2', { token: admin });
      const second = await app.get('/users?page=2&size=2', { token: admin });
      expect(first.body.meta).toMatchObject({ total: 5, page: 1, size: 2, totalIsCapped: false });
      expect([...first.body.data, ...second.body.data].map((user) => user.name)).toEqual([
        'Off',
        'Bot',
        'Bob_x',
        'Ada 100%',
      ]);
      expect(second.body.data[0]).toMatchObject({ roles: ['auditor', 'user'], managerIds: [] });
    });

    it('finds users by their ids, and leaves out what there is not', async () => {
      const { data } = (await app.get('/users', { token: admin })).body as { data: { id: string; name: string }[] };
      const [off, , bob] = data;
      expect(await names(`id=${bob!.id}`)).toEqual(['Bob_x']);
      const unknown = '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e00';
      expect(await names(`id=${bob!.id.toUpperCase()}&id=${off!.id}&id=${unknown}`)).toEqual(['Off', 'Bob_x']);
      expect((await app.get('/users?id=bob', { token: admin })).status).toBe(400);
    });

    it('never shows a password hash', async () => {
      expect(JSON.stringify((await app.get('/users', { token: admin })).body)).not.toMatch(/argon2|password_?hash/i);
    });

    it.each([
      ['search=ADA', ['Ada 100%']],
      ['search=bob@', ['Bob_x']],
      ['search=%25', ['Ada 100%']],
      ['search=_', ['Bob_x']],
      ['search=%5C', []],
      ['kind=service', ['Bot']],
      ['role=auditor', ['Bob_x']],
      ['role=nobody', []],
      ['isActive=false', ['Off']],
      ['isActive=true&kind=person&search=latchkey.test', ['Bob_x', 'Ada 100%', 'Administrator']],
      ['size=100&page=100', []],
    ])('with %s finds %j', async (query, expected) => {
      expect(await names(query)).toEqual(expected);
    });
  });

  describe('400', () => {
    it.each([
      ['page=0', 'page'],
      ['page=-1', 'page'],
      ['page=1.5', 'page'],
      ['page=1e1', 'page'],
      ['page=', 'page'],
      ['page=1&page=2', 'page'],
      ['size=101', 'size'],
      ['size=abc', 'size'],
      ['page=101&size=100', 'page'],
      ['kind=robot', 'kind'],
      ['role=A', 'role'],
      ['isActive=1', 'isActive'],
      ['search=', 'search'],
      ['search=%00', 'url'],
      ['search=a&search=b', 'search'],
      ['sort=name', 'sort'],
    ])('refuses %s', async (query, path) => {
      const { status, body } = await app.get(`/users?${query}`, { token: admin });
      expect(status).toBe(400);
      expect(body.errors[0].path).toBe(path);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/users')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the missing permission', async () => {
      const { token } = await app.addUser(['creator']);
      expect((await app.get('/users', { token })).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:users:read',
      });
    });
  });
});
