import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';

describe('GET /users/:id', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('shows a user with roles, under an id in any case', async () => {
      const user = await app.addUser(['creator', 'user']);
      const { status, body } = await app.get(`/users/${user.id.toUpperCase()}`, { token: admin });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        id: user.id,
        email: user.email,
        roles: ['creator', 'user'],
        lastSignInAt: expect.any(String),
      });
    });
  });

  describe('400', () => {
    it.each(['1', 'me', '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e5'])('refuses %s, which is no UUID', async (id) => {
      expect(await app.get(`/users/${id}`, { token: admin })).toMatchObject({
        status: 400,
        body: { errors: [{ path: 'id' }] },
      });
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('answers the same for users who exist and who do not', async () => {
      const { token, id } = await app.addUser(['creator']);
      const there = await app.get(`/users/${id}`, { token });
      const missing = await app.get('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', { token });
      expect(there.status).toBe(403);
      expect({ ...there.body, requestId: '' }).toEqual({ ...missing.body, requestId: '' });
    });
  });

  describe('404', () => {
    it('does not know users who are not there', async () => {
      expect(await app.get('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', { token: admin })).toMatchObject({
        status: 404,
        body: { code: 'USER_NOT_FOUND' },
      });
    });
  });
});
