import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';

const NEW = 'nine small boats at sea';

describe('What happened to an account', () => {
  let app: TestApp;
  let admin: string;
  let addresses = 0;
  const from = () => ({ 'x-forwarded-for': `203.0.113.${(addresses += 1)}` });
  const signIn = async (user: TestUser, password = user.password) => {
    const { status, body } = await app.post('/auth/login', { body: { email: user.email, password }, headers: from() });
    expect(status).toBe(200);
    return body;
  };
  const fail = (user: TestUser, headers = from()) =>
    app.post('/auth/login', { body: { email: user.email, password: 'not the password' }, headers });
  const noticesOf = async (token: string) => (await app.get('/auth/me', { token })).body.notices;
  const acknowledge = (token: string, marker: string) =>
    app.post('/auth/notices/acknowledge', { token, body: { marker } });

  beforeAll(async () => {
    app = await TestApp.start({ TRUSTED_PROXIES: '127.0.0.1/32' });
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  it('is nothing, where nothing happened and where the person did it', async () => {
    const user = await app.addUser(['creator']);
    await app.put(`/users/${user.id}/password`, {
      token: user.token,
      body: { password: NEW, currentPassword: user.password },
    });
    expect((await signIn(user, NEW)).notices).toBeNull();
    expect(await noticesOf(user.token)).toBeNull();
  });

  it('is told at the next sign-in: how many failed, when and where the last one was', async () => {
    const user = await app.addUser([]);
    const before = Date.now();
    for (let attempt = 0; attempt < 4; attempt += 1) await fail(user);
    const last = from();
    await fail(user, last);
    const { failedSignIns } = (await signIn(user)).notices;
    expect(failedSignIns).toEqual({ count: 5, lastAt: expect.any(String), lastIp: last['x-forwarded-for'] });
    expect(Math.abs(new Date(failedSignIns.lastAt).getTime() - before)).toBeLessThan(60_000);
  });

  it('names every change by another: password, roles, state, sessions, and service accounts', async () => {
    const user = await app.addUser(['creator']);
    const bot = await app.addUser([], { kind: 'service' });
    const { id } = user;
    await app.put(`/users/${id}/roles`, { token: admin, body: { roles: ['auditor'] } });
    await app.patch(`/users/${id}`, { token: admin, body: { isActive: false } });
    await app.patch(`/users/${id}`, { token: admin, body: { isActive: true } });
    await app.patch(`/users/${bot.id}`, { token: admin, body: { managerIds: [id] } });
    await app.patch(`/users/${bot.id}`, { token: admin, body: { managerIds: [] } });
    await app.get(`/users/${id}`, { token: admin });
    await app.put(`/users/${id}/password`, { token: admin, body: { password: NEW } });
    const { notices } = await signIn(user, NEW);
    expect(notices.changes.map(({ sentence }: { sentence: string }) => sentence)).toEqual([
      'Administrator set a new password for your account.',
      expect.stringMatching(/^Administrator ended your being a manager of the service account /),
      expect.stringMatching(/^Administrator made you a manager of the service account /),
      'Administrator activated your account.',
      'Administrator deactivated your account.',
      'Administrator changed your roles: gave you auditor, took creator from you.',
    ]);
    expect(notices).toMatchObject({ failedSignIns: null, isCapped: false });
  });

  it('is told until it is acknowledged, and what comes after that is told again', async () => {
    const user = await app.addUser([]);
    await fail(user);
    await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['auditor'] } });
    const { accessToken: token, notices } = await signIn(user);
    expect(await noticesOf(token)).toEqual(notices);
    await fail(user);
    await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['creator'] } });
    await eventually(async () => expect((await noticesOf(token)).failedSignIns.count).toBe(2));
    expect((await acknowledge(token, notices.marker)).status).toBe(204);
    const rest = await noticesOf(token);
    expect(rest).toMatchObject({
      failedSignIns: { count: 1 },
      changes: [{ kind: 'roles', sentence: expect.stringContaining('gave you creator') }],
    });
    expect((await acknowledge(token, rest.marker)).status).toBe(204);
    expect(await noticesOf(token)).toBeNull();
    expect((await signIn(user)).notices).toBeNull();
  });

  it('cannot be acknowledged before it happens', async () => {
    const user = await app.addUser([]);
    expect((await acknowledge(user.token, '999999999999999999.999999')).status).toBe(204);
    await fail(user);
    await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['auditor'] } });
    expect((await signIn(user)).notices).toMatchObject({ failedSignIns: { count: 1 }, changes: [{ kind: 'roles' }] });
  });

  it('is the account’s own: another person is told nothing of it', async () => {
    const [user, other] = [await app.addUser([]), await app.addUser([])];
    await fail(user);
    await app.put(`/users/${user.id}/password`, { token: admin, body: { password: NEW } });
    expect((await signIn(other)).notices).toBeNull();
  });

  it.each([
    [{}],
    [{ marker: '' }],
    [{ marker: '1' }],
    [{ marker: '-1.2' }],
    [{ marker: '1.2; DROP' }],
    [{ marker: 12 }],
  ])('refuses %j as a marker', async (body) => {
    const user = await app.addUser([]);
    expect((await app.post('/auth/notices/acknowledge', { token: user.token, body })).status).toBe(400);
  });

  it('is not for keys: they have no account', async () => {
    const user = await app.addUser(['creator']);
    await fail(user);
    const apiKey = (await app.post('/api-keys', { token: user.token })).body.secretKey as string;
    expect((await app.get('/auth/me', { apiKey })).body).toMatchObject({ notices: null, mustChangePassword: false });
    expect(await app.post('/auth/notices/acknowledge', { apiKey, body: { marker: '1.1' } })).toMatchObject({
      status: 403,
      body: { code: 'ONLY_FOR_PEOPLE' },
    });
  });
});
