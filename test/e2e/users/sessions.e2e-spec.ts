import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { issueServiceKey } from '../../support/management.js';
import { trailOf } from '../../support/trail.js';

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const IDLE_SECONDS = 600;

interface Listed {
  readonly id: string;
  readonly isCurrent: boolean;
}

describe('the sessions of a user', () => {
  let app: TestApp;
  let user: TestUser;
  let helper: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ SESSION_IDLE_SECONDS: String(IDLE_SECONDS), TRUSTED_PROXIES: '127.0.0.1/32' });
    await app.addRole('people', ['platform:users:*']);
    helper = await app.addUser(['people']);
  });
  afterAll(() => app.stop());

  const signIn = async (one: TestUser = user, headers: Record<string, string> = {}) =>
    (await app.post('/auth/login', { body: { email: one.email, password: one.password }, headers })).body
      .accessToken as string;
  const list = (token: string, id = user.id) => app.get(`/users/${id}/sessions`, { token });
  const works = async (token: string) => (await app.get('/auth/me', { token })).status === 200;
  const sidOf = (token: string) =>
    (JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { sid: string }).sid;
  /** As if the last use lay further back. */
  const age = (token: string, seconds: number) =>
    app.dataSource.query(
      'UPDATE session SET last_active_at = last_active_at - make_interval(secs => $2) WHERE id = $1',
      [sidOf(token), seconds],
    );
  const endings = async () => (await trailOf(app, user.id)).filter(({ action }) => action === 'sessions:revoke');
  const lastActive = async (token: string) =>
    (
      await app.dataSource.query<{ at: Date }[]>('SELECT last_active_at AS at FROM session WHERE id = $1', [
        sidOf(token),
      ])
    )[0]!.at.getTime();

  describe('GET /users/:id/sessions', () => {
    beforeAll(async () => {
      user = await app.addUser([]);
    });

    it('lists one’s own: when, from where, with what, and which one this is', async () => {
      const here = await signIn(user, { 'user-agent': FIREFOX, 'x-forwarded-for': '203.0.113.7' });
      const { status, body } = await list(here);
      expect(status).toBe(200);
      expect(body.total).toBe(2);
      expect(body.data.find(({ isCurrent }: Listed) => isCurrent)).toEqual({
        id: sidOf(here),
        createdAt: expect.any(String),
        lastActiveAt: expect.any(String),
        expiresAt: expect.any(String),
        ip: '203.0.113.7',
        device: 'Firefox 140 on Linux',
        isCurrent: true,
      });
      expect(JSON.stringify(body)).not.toContain(here);
    });

    it('lists those of another with platform:users:update, and of nobody without it', async () => {
      expect((await list(helper.token)).body.total).toBe(2);
      const stranger = await app.addUser([]);
      expect(await list(stranger.token)).toMatchObject({ status: 403, body: { code: 'PERMISSION_DENIED' } });
      expect(await list(stranger.token, '019a8b5e-0000-7cc3-b4a1-000000000000')).toMatchObject({ status: 403 });
      expect(await list(helper.token, '019a8b5e-0000-7cc3-b4a1-000000000000')).toMatchObject({
        status: 404,
        body: { code: 'USER_NOT_FOUND' },
      });
      expect((await list(helper.token, 'nonsense')).status).toBe(400);
    });

    it('is not for a key of the same user', async () => {
      const owner = await app.addUser(['creator']);
      const { secretKey } = (await app.post('/api-keys', { token: owner.token })).body;
      expect(await app.get(`/users/${owner.id}/sessions`, { apiKey: secretKey })).toMatchObject({
        status: 403,
        body: { code: 'PERMISSION_DENIED' },
      });
    });

    it('leaves out what has ended by itself', async () => {
      const one = await app.addUser([]);
      const left = await signIn(one);
      await age(left, IDLE_SECONDS);
      expect((await list(one.token, one.id)).body.data.map(({ id }: Listed) => id)).toEqual([sidOf(one.token)]);
    });
  });

  describe('DELETE /users/:id/sessions/:sessionId', () => {
    beforeAll(async () => {
      user = await app.addUser([]);
    });

    it('ends one, at once, and says so in the trail', async () => {
      const elsewhere = await signIn();
      expect((await app.delete(`/users/${user.id}/sessions/${sidOf(elsewhere)}`, { token: user.token })).status).toBe(
        204,
      );
      expect([await works(elsewhere), await works(user.token)]).toEqual([false, true]);
      expect((await endings()).at(-1)).toMatchObject({
        action: 'sessions:revoke',
        actor_id: user.id,
        details: { sessionId: sidOf(elsewhere) },
      });
    });

    it('of this request takes the cookie as well', async () => {
      const here = await signIn();
      const { status, headers } = await app.delete(`/users/${user.id}/sessions/${sidOf(here)}`, { token: here });
      expect([status, headers.get('set-cookie')]).toEqual([
        204,
        expect.stringMatching(/^latchkey_session=; Max-Age=0/),
      ]);
    });

    it('finds none of another user, and none that has ended', async () => {
      const other = await app.addUser([]);
      for (const path of [
        `/users/${user.id}/sessions/${sidOf(other.token)}`,
        `/users/${user.id}/sessions/019a8b5e-0000-7cc3-b4a1-000000000000`,
      ]) {
        expect(await app.delete(path, { token: user.token })).toMatchObject({
          status: 404,
          body: { code: 'SESSION_NOT_FOUND' },
        });
      }
      expect(await works(other.token)).toBe(true);
      expect((await app.delete(`/users/${user.id}/sessions/nonsense`, { token: user.token })).status).toBe(400);
    });
  });

  describe('DELETE /users/:id/sessions', () => {
    beforeAll(async () => {
      user = await app.addUser([]);
    });

    it('ends all others, and keeps this one', async () => {
      const [here, there] = [await signIn(), await signIn()];
      expect(await app.delete(`/users/${user.id}/sessions?except=current`, { token: here })).toMatchObject({
        status: 200,
        body: { ended: 2 },
      });
      expect([await works(here), await works(there), await works(user.token)]).toEqual([true, false, false]);
      expect((await endings()).at(-1)).toMatchObject({
        action: 'sessions:revoke',
        details: { sessions: 2, kept: sidOf(here) },
      });
    });

    it('signs out everywhere, this one included', async () => {
      const [here, there] = [await signIn(), await signIn()];
      const { status, headers } = await app.delete(`/users/${user.id}/sessions`, { token: here });
      expect([status, headers.get('set-cookie')]).toEqual([
        200,
        expect.stringMatching(/^latchkey_session=; Max-Age=0/),
      ]);
      expect([await works(here), await works(there)]).toEqual([false, false]);
    });

    it('ends those of another with platform:users:update, and none of those who may do more', async () => {
      const there = await signIn();
      expect(await app.delete(`/users/${user.id}/sessions`, { token: helper.token })).toMatchObject({
        status: 200,
        body: { ended: 1 },
      });
      expect(await works(there)).toBe(false);
      const admin = await app.adminToken();
      const adminId = (await app.get('/auth/me', { token: admin })).body.user.id;
      expect(await app.delete(`/users/${adminId}/sessions`, { token: helper.token })).toMatchObject({
        status: 403,
        body: { code: 'CANNOT_GRANT' },
      });
      expect(await works(admin)).toBe(true);
      const stranger = await app.addUser([]);
      expect((await app.delete(`/users/${user.id}/sessions`, { token: stranger.token })).status).toBe(403);
      expect((await app.delete(`/users/${user.id}/sessions?except=current`, { token: helper.token })).status).toBe(400);
      expect((await app.delete(`/users/${user.id}/sessions?except=all`, { token: helper.token })).status).toBe(400);
    });
  });

  describe('a session that is not used', () => {
    beforeAll(async () => {
      user = await app.addUser([]);
    });

    it('ends after SESSION_IDLE_SECONDS, and not before', async () => {
      const token = await signIn();
      await age(token, IDLE_SECONDS - 120);
      expect(await works(token)).toBe(true);
      await age(token, IDLE_SECONDS);
      expect(await works(token)).toBe(false);
    });

    it('goes on while it is used: a use is written down, once a minute at most', async () => {
      const token = await signIn();
      const opened = await lastActive(token);
      await works(token);
      expect(await lastActive(token)).toBe(opened);
      await age(token, 61);
      const writes = () =>
        app.dataSource.query<{ version: string }[]>(`SELECT xmin::text AS version FROM session WHERE id = $1`, [
          sidOf(token),
        ]);
      await Promise.all(Array.from({ length: 20 }, () => works(token)));
      const [written] = await writes();
      expect(await lastActive(token)).toBeGreaterThan(opened);
      await Promise.all(Array.from({ length: 20 }, () => works(token)));
      expect((await writes())[0]).toEqual(written);
    });

    it('is not used by a page that asks by itself', async () => {
      const token = await signIn();
      await age(token, 120);
      const before = await lastActive(token);
      expect((await app.get('/auth/me', { token, headers: { 'x-latchkey-background': '1' } })).status).toBe(200);
      expect(await lastActive(token)).toBe(before);
      await works(token);
      expect(await lastActive(token)).toBeGreaterThan(before);
    });

    it('is not kept open by services that ask what it is', async () => {
      const token = await signIn();
      await age(token, 120);
      const before = await lastActive(token);
      const { secret } = await issueServiceKey(app, await app.adminToken());
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const { body } = await app.post('/introspect', { apiKey: secret, rawBody: `token=${token}`, headers });
      expect([body.active, await lastActive(token)]).toEqual([true, before]);
    });

    it('of the build before has the time of its opening', async () => {
      const token = await signIn();
      await app.dataSource.query(
        `UPDATE session SET last_active_at = NULL, created_at = now() - interval '5 minutes' WHERE id = $1`,
        [sidOf(token)],
      );
      expect(await works(token)).toBe(true);
      await app.dataSource.query(
        `UPDATE session SET last_active_at = NULL, created_at = now() - interval '11 minutes' WHERE id = $1`,
        [sidOf(token)],
      );
      expect(await works(token)).toBe(false);
    });

    it('is removed at the next sign-in of its user', async () => {
      const token = await signIn();
      await age(token, IDLE_SECONDS);
      await signIn();
      expect(await app.dataSource.query('SELECT 1 FROM session WHERE id = $1', [sidOf(token)])).toEqual([]);
    });

    it('lasts until it expires with SESSION_IDLE_SECONDS=0', async () => {
      const lasting = await TestApp.start({ SESSION_IDLE_SECONDS: '0' }, app.database);
      const token = await signIn();
      await age(token, 7200);
      expect((await lasting.get('/auth/me', { token })).status).toBe(200);
      await lasting.stop();
    });
  });
});
