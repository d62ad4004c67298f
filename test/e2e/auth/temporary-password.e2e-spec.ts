import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RouteAccess } from '../../../src/access/route-access.js';
import { TestApp } from '../../support/app.js';

const FIRST = 'chosen by another person';
const OWN = 'nine small boats at sea';
const REFUSED = { status: 403, body: { code: 'PASSWORD_CHANGE_REQUIRED' } };

describe('A password that another person chose', () => {
  let app: TestApp;
  let admin: string;
  let people = 0;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  /** A person whom the admin has just added, with every right. */
  const add = async () => {
    const email = `added-${(people += 1)}@latchkey.test`;
    const { body } = await app.post('/users', {
      token: admin,
      body: { name: 'Added', email, password: FIRST, roles: ['admin'] },
    });
    return { id: body.id as string, email };
  };
  const signIn = async (email: string, password: string) =>
    (await app.post('/auth/login', { body: { email, password } })).body;

  it('opens a session that says so, and can do nothing but change it, look at itself and sign out', async () => {
    const { id, email } = await add();
    const { accessToken: token, mustChangePassword } = await signIn(email, FIRST);
    expect(mustChangePassword).toBe(true);
    expect(await app.get('/auth/me', { token })).toMatchObject({ status: 200, body: { mustChangePassword: true } });
    for (const [method, path] of [
      ['GET', '/users'],
      ['GET', '/api-keys'],
      ['POST', '/api-keys'],
      ['POST', '/verify'],
      ['GET', `/users/${id}`],
      ['GET', '/audit-events'],
    ] as const) {
      expect(await app.request(method, path, { token, ...(method === 'POST' ? { body: {} } : {}) })).toMatchObject(
        REFUSED,
      );
    }
    expect((await app.post('/auth/logout', { token })).status).toBe(204);
    expect((await app.get('/auth/me', { token })).status).toBe(401);
  });

  it('is refused by every route but those three', async () => {
    const open = app.app
      .get(RouteAccess, { strict: false })
      .routes()
      .filter(({ rule }) => rule?.kind === 'signed-in' && rule.withTemporaryPassword === true)
      .map(({ method, path }) => `${method} ${path}`);
    expect(open.sort()).toEqual(['GET /auth/me', 'POST /auth/logout', 'PUT /users/:id/password']);
  });

  it('is asked for no longer once it is changed, in the session that changed it and in all others', async () => {
    const { id, email } = await add();
    const { accessToken: token } = await signIn(email, FIRST);
    expect(
      (await app.put(`/users/${id}/password`, { token, body: { password: OWN, currentPassword: FIRST } })).status,
    ).toBe(204);
    expect((await app.get('/users', { token })).status).toBe(200);
    expect(await signIn(email, OWN)).toMatchObject({ mustChangePassword: false });
  });

  it('does not set the password of a third person', async () => {
    const [{ email }, other] = [await add(), await app.addUser([])];
    const { accessToken: token } = await signIn(email, FIRST);
    expect(await app.put(`/users/${other.id}/password`, { token, body: { password: OWN } })).toMatchObject(REFUSED);
    expect(await app.tokenOf(other.email, other.password)).toEqual(expect.any(String));
  });

  it('is also one that was set for an account that had one of its own', async () => {
    const user = await app.addUser(['creator']);
    await app.put(`/users/${user.id}/password`, { token: admin, body: { password: FIRST } });
    const { accessToken: token, mustChangePassword } = await signIn(user.email, FIRST);
    expect(mustChangePassword).toBe(true);
    expect(await app.post('/api-keys', { token, body: {} })).toMatchObject(REFUSED);
  });

  it('leaves the keys of its account as they are', async () => {
    const user = await app.addUser(['admin']);
    const key = (await app.post('/api-keys', { token: user.token, body: { roles: ['gateway'] } })).body
      .secretKey as string;
    await app.put(`/users/${user.id}/password`, { token: admin, body: { password: FIRST } });
    expect(await app.post('/verify', { apiKey: key, body: { key } })).toMatchObject({
      status: 200,
      body: { valid: true },
    });
  });

  it('makes its session inactive for services that ask about it', async () => {
    const { email } = await add();
    const { accessToken: token } = await signIn(email, FIRST);
    const introspect = (asked: string) =>
      app.post('/introspect', {
        token: admin,
        rawBody: `token=${asked}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      });
    expect((await introspect(token)).body).toEqual({ active: false });
    expect((await introspect(admin)).body).toMatchObject({ active: true });
  });
});
