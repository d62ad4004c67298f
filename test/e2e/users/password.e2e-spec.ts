import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

const NEW = 'an entirely new password';

describe('PUT /users/:id/password', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('people', ['platform:users:*']);
    await app.addRole('bound', ['platform:users:update', 'platform:api-keys:create'], { maxValidityDays: 7 });
  });
  afterAll(() => app.stop());

  describe('204', () => {
    it('sets one’s own with the old one, and ends all other sessions', async () => {
      const user = await app.addUser([]);
      const elsewhere = await app.tokenOf(user.email, user.password);
      const { status } = await app.put(`/users/${user.id}/password`, {
        token: user.token,
        body: { password: NEW, currentPassword: user.password },
      });
      expect(status).toBe(204);
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(200);
      expect((await app.get('/auth/me', { token: elsewhere })).status).toBe(401);
      expect((await app.post('/auth/login', { body: { email: user.email, password: user.password } })).status).toBe(
        401,
      );
      expect(await app.tokenOf(user.email, NEW)).toEqual(expect.any(String));
    });

    it('takes no password of the own again: neither the current one, nor the one before a reset', async () => {
      const user = await app.addUser([]);
      const refused = {
        status: 400,
        body: {
          errors: [
            { path: 'password', message: expect.stringContaining('must not be the password that you have now') },
          ],
        },
      };
      const change = (token: string, currentPassword: string, password: string) =>
        app.put(`/users/${user.id}/password`, { token, body: { password, currentPassword } });
      expect(await change(user.token, user.password, user.password)).toMatchObject(refused);
      await app.put(`/users/${user.id}/password`, { token: admin, body: { password: NEW } });
      await app.put(`/users/${user.id}/password`, { token: admin, body: { password: `${NEW} again` } });
      const token = await app.tokenOf(user.email, `${NEW} again`);
      expect(await change(token, `${NEW} again`, `${NEW} again`)).toMatchObject(refused);
      expect(await change(token, `${NEW} again`, user.password)).toMatchObject(refused);
      expect((await change(token, `${NEW} again`, 'nine small boats at sea')).status).toBe(204);
    });

    it('sets another’s, ends all sessions of that user, and writes no password into the trail', async () => {
      const [me, user] = [await app.addUser(['people']), await app.addUser([])];
      expect((await app.put(`/users/${user.id}/password`, { token: me.token, body: { password: NEW } })).status).toBe(
        204,
      );
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(401);
      expect(await app.tokenOf(user.email, NEW)).toEqual(expect.any(String));
      const entry = (await trailOf(app, user.id)).find((row) => row.action === 'users:update');
      expect(entry).toMatchObject({ actor_id: me.id, changes: [], details: { credential: 'password' } });
      expect(JSON.stringify(entry)).not.toContain(NEW);
    });

    it('treats the same text in another Unicode form as the same password', async () => {
      const user = await app.addUser([]);
      await app.put(`/users/${user.id}/password`, { token: admin, body: { password: 'Zu\u0308rich ist schön' } });
      expect(await app.tokenOf(user.email, 'Zürich ist schön')).toEqual(expect.any(String));
    });

    it('leaves no session that the old password opened at the same moment', async () => {
      for (let round = 0; round < 5; round += 1) {
        const user = await app.addUser([]);
        const [changed, ...logins] = await Promise.all([
          app.put(`/users/${user.id}/password`, { token: admin, body: { password: NEW } }),
          ...Array.from({ length: 6 }, () =>
            app.post('/auth/login', { body: { email: user.email, password: user.password } }),
          ),
        ]);
        expect(changed.status).toBe(204);
        for (const login of logins.filter(({ status }) => status === 200)) {
          expect((await app.get('/auth/me', { token: login.body.accessToken })).status).toBe(401);
        }
      }
    });
  });

  describe('400', () => {
    it.each([
      [{}, 'password'],
      [{ password: 'elevenchars' }, 'password'],
      [{ password: 'p'.repeat(1025) }, 'password'],
      [{ password: 123456789012 }, 'password'],
      [{ password: '\ud800'.repeat(12) }, 'password'],
      [{ password: NEW, currentPassword: 5 }, 'currentPassword'],
      [{ password: NEW, other: 1 }, 'other'],
    ])('refuses %j', async (body, path) => {
      const user = await app.addUser([]);
      const answer = await app.put(`/users/${user.id}/password`, { token: user.token, body });
      expect(answer.status).toBe(400);
      expect(answer.body.errors[0].path).toBe(path);
    });

    it('asks for the old one of one’s own, and refuses it for another’s', async () => {
      const user = await app.addUser([]);
      for (const [token, body] of [
        [user.token, { password: NEW }],
        [admin, { password: NEW, currentPassword: user.password }],
      ] as const) {
        expect(await app.put(`/users/${user.id}/password`, { token, body })).toMatchObject({
          status: 400,
          body: { errors: [{ path: 'currentPassword' }] },
        });
      }
    });

    it.each([['aaaaaaaaaaaa'], ['123456789012'], ['password1234'], ['latchkey2026!']])(
      'refuses %s, which is easy to guess, for oneself and for others',
      async (password) => {
        const user = await app.addUser([]);
        const refused = {
          status: 400,
          body: {
            code: 'VALIDATION_FAILED',
            errors: [{ path: 'password', message: expect.stringMatching(/^is too easy to guess: .+/) }],
          },
        };
        expect(
          await app.put(`/users/${user.id}/password`, {
            token: user.token,
            body: { password, currentPassword: user.password },
          }),
        ).toMatchObject(refused);
        expect(await app.put(`/users/${user.id}/password`, { token: admin, body: { password } })).toMatchObject(
          refused,
        );
        expect(
          await app.post('/users', { token: admin, body: { name: 'x', email: `new-${user.email}`, password } }),
        ).toMatchObject(refused);
        expect(await app.tokenOf(user.email, user.password)).toEqual(expect.any(String));
      },
    );

    it('says nothing about a user whom the caller may not change', async () => {
      const [me, auditor] = [await app.addUser(['people']), await app.addUser(['auditor'])];
      expect(
        (
          await app.put(`/users/${auditor.id}/password`, {
            token: me.token,
            body: { password: auditor.email.split('@')[0]! + '1234567' },
          })
        ).body.code,
      ).toBe('CANNOT_GRANT');
    });

    it('refuses the address as password, whatever its case', async () => {
      const user = await app.addUser([]);
      expect(
        await app.put(`/users/${user.id}/password`, { token: admin, body: { password: user.email.toUpperCase() } }),
      ).toMatchObject({ status: 400, body: { errors: [{ path: 'password' }] } });
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.put('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55/password', { body: {} })).status).toBe(401);
    });
  });

  describe('403', () => {
    it('refuses a wrong old password and keeps everything', async () => {
      const user = await app.addUser([]);
      expect(
        await app.put(`/users/${user.id}/password`, {
          token: user.token,
          body: { password: NEW, currentPassword: 'not the password' },
        }),
      ).toMatchObject({ status: 403, body: { code: 'WRONG_PASSWORD' } });
      expect(await app.tokenOf(user.email, user.password)).toEqual(expect.any(String));
    });

    it('answers the same for users who exist and who do not', async () => {
      const [me, other] = [await app.addUser(['creator']), await app.addUser([])];
      const answers = await Promise.all(
        [other.id, '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55'].map((id) =>
          app.put(`/users/${id}/password`, { token: me.token, body: { password: NEW } }),
        ),
      );
      expect(answers.map(({ status, body }) => ({ status, ...body, requestId: '' }))).toEqual(
        Array(2).fill(expect.objectContaining({ status: 403, code: 'PERMISSION_DENIED' })),
      );
    });

    it('gives nobody the password of a user who may do more', async () => {
      const [me, auditor] = [await app.addUser(['people']), await app.addUser(['auditor'])];
      expect(
        (await app.put(`/users/${auditor.id}/password`, { token: me.token, body: { password: NEW } })).body.code,
      ).toBe('CANNOT_GRANT');
      expect(await app.tokenOf(auditor.email, auditor.password)).toEqual(expect.any(String));
    });

    it('gives nobody the password of a user whose keys are bound less', async () => {
      const [me, free] = [await app.addUser(['bound']), await app.addUser(['creator'])];
      expect(
        (await app.put(`/users/${free.id}/password`, { token: me.token, body: { password: NEW } })).body.code,
      ).toBe('OUTSIDE_POLICY');
    });

    it('does not take a key for its owner', async () => {
      const user = await app.addUser(['creator']);
      const key = (await app.post('/api-keys', { token: user.token })).body.secretKey;
      expect(
        (
          await app.put(`/users/${user.id}/password`, {
            apiKey: key,
            body: { password: NEW, currentPassword: user.password },
          })
        ).body.code,
      ).toBe('PERMISSION_DENIED');
    });

    it('gives no key the password of its owner, whatever both may do', async () => {
      const user = await app.addUser(['admin']);
      const key = (await app.post('/api-keys', { token: user.token, body: { roles: ['admin'] } })).body.secretKey;
      for (const body of [{ password: NEW }, { password: NEW, currentPassword: user.password }]) {
        expect(await app.put(`/users/${user.id}/password`, { apiKey: key, body })).toMatchObject({
          status: 403,
          body: { code: 'SESSION_REQUIRED' },
        });
      }
      expect(await app.tokenOf(user.email, user.password)).toEqual(expect.any(String));
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(200);
    });
  });

  describe('404', () => {
    it('does not know users who are not there', async () => {
      expect(
        (
          await app.put('/users/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55/password', {
            token: admin,
            body: { password: NEW },
          })
        ).body.code,
      ).toBe('USER_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('has no password for a service account', async () => {
      const bot = await app.addUser([], { kind: 'service' });
      expect((await app.put(`/users/${bot.id}/password`, { token: admin, body: { password: NEW } })).body.code).toBe(
        'HAS_NO_PASSWORD',
      );
    });
  });

  describe('429', () => {
    it('slows guessing of the old password, and says for how long', async () => {
      const user = await app.addUser([]);
      const guess = () =>
        app.put(`/users/${user.id}/password`, { token: user.token, body: { password: NEW, currentPassword: 'guess' } });
      const answers = await Promise.all(Array.from({ length: 25 }, guess));
      expect(answers.filter(({ status }) => status === 403)).toHaveLength(20);
      const refused = answers.find(({ status }) => status === 429);
      expect(refused?.body.code).toBe('TOO_MANY_REQUESTS');
      expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(0);
    });
  });
});
