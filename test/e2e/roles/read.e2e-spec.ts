import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PERMISSIONS } from '../../../src/access/permissions.js';
import { TestApp } from '../../support/app.js';

describe('reading roles', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  describe('GET /roles', () => {
    describe('200', () => {
      it('lists the seeded roles in order of name, in pages', async () => {
        const { body } = await app.get('/roles?size=3&page=1', { token: admin });
        expect(body.meta).toMatchObject({ total: 5, page: 1, size: 3, totalIsCapped: false });
        expect(body.data.map((role: { name: string }) => role.name)).toEqual(['admin', 'auditor', 'creator']);
        expect(body.data[0]).toEqual({
          name: 'admin',
          description: 'May do everything.',
          permissions: ['*'],
          keyPolicy: null,
          isActive: true,
          createdAt: expect.any(String),
          updatedAt: expect.any(String),
          version: expect.any(String),
        });
      });
    });

    describe('403', () => {
      it('names the missing permission', async () => {
        const { token } = await app.addUser(['creator']);
        expect((await app.get('/roles', { token })).body).toMatchObject({
          code: 'PERMISSION_DENIED',
          permission: 'platform:roles:read',
        });
      });
    });
  });

  describe('GET /roles/:name', () => {
    describe('200', () => {
      it('shows a role with its key policy', async () => {
        await app.addRole('trial', ['platform:api-keys:create'], { maxValidityDays: 7 });
        expect((await app.get('/roles/trial', { token: admin })).body).toMatchObject({
          permissions: ['platform:api-keys:create'],
          keyPolicy: { maxValidityDays: 7 },
        });
      });
    });

    describe('404', () => {
      it.each(['nobody', 'ADMIN', 'a%20b', '__proto__'])('does not know %s', async (name) => {
        expect(await app.get(`/roles/${name}`, { token: admin })).toMatchObject({
          status: 404,
          body: { code: 'ROLE_NOT_FOUND' },
        });
      });
    });
  });

  describe('GET /permissions', () => {
    describe('200', () => {
      it('lists the registry, each with a sentence', async () => {
        const { body } = await app.get('/permissions', { token: admin });
        expect(body.data).toEqual(Object.entries(PERMISSIONS).map(([name, description]) => ({ name, description })));
      });
    });

    describe('401', () => {
      it('asks for credentials', async () => {
        expect((await app.get('/permissions')).status).toBe(401);
      });
    });
  });
});
