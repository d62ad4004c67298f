import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemCaller } from '../../../src/access/caller.js';
import { RouteAccess } from '../../../src/access/route-access.js';
import { AuthService } from '../../../src/auth/auth.service.js';
import { Metrics } from '../../../src/common/metrics.js';
import { describe as lineOf, examine } from '../../../src/health/doctor.js';
import { SignInFailures } from '../../../src/users/sign-in-failures.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { issueKey } from '../../support/management.js';
import { afterAWhile, codeOf, codeOfStep, setUpFactor, wrongCode } from '../../support/second-factor.js';
import { asOwner, trailOf, trailRowsOnce } from '../../support/trail.js';

const TRUSTED = { TRUSTED_PROXIES: '127.0.0.1/32' };
const MISSING_ID = '00000000-0000-7000-8000-000000000000';

/** Routes that a session may use before its second factor is set up. */
const WHILE_ENROLLING = [
  'GET /auth/me',
  'POST /auth/logout',
  'GET /auth/second-factor',
  'POST /auth/second-factor',
  'POST /auth/second-factor/confirm',
];

describe('a second factor', () => {
  let app: TestApp;
  /** Another replica on the same database. */
  let other: TestApp;
  const ended: TestApp[] = [];
  let admin: string;
  let addresses = 0;
  /** Each sign-in comes from an address of its own, unless a test says so. */
  const from = () => ({ 'x-forwarded-for': `203.0.${Math.floor((addresses += 1) / 250)}.${addresses % 250}` });
  const login = (user: TestUser, code?: string, headers: Record<string, string> = from(), replica = app) =>
    replica.post('/auth/login', {
      body: { email: user.email, password: user.password, ...(code === undefined ? {} : { code }) },
      headers,
    });
  const withFactor = async (roles: readonly string[] = []) => {
    const user = await app.addUser(roles);
    return { user, factor: await setUpFactor(app, user.token, user.password) };
  };
  const stepNow = async () =>
    Number(
      (
        await app.dataSource.query<{ step: string }[]>(
          'SELECT floor(extract(epoch FROM clock_timestamp()) / 30)::bigint AS step',
        )
      )[0]!.step,
    );
  const doctorLine = async () =>
    (await examine(app.config, app.dataSource)).map(lineOf).find((line) => line.includes('second factors are'))!;

  beforeAll(async () => {
    app = await TestApp.start(TRUSTED);
    other = await TestApp.start(TRUSTED, app.database);
    admin = await app.adminToken();
    await app.addRole('people', ['platform:users:*']);
  });
  afterAll(async () => {
    for (const { dataSource } of ended) await dataSource.destroy();
    await other.stop();
    await app.stop();
  });

  describe('that is being set up', () => {
    it('is asked for from its first code on, which ends the other sessions and gives ten recovery codes', async () => {
      const user = await app.addUser([]);
      const elsewhere = await app.tokenOf(user.email, user.password);
      const begun = await app.post('/auth/second-factor', { token: user.token, body: { password: user.password } });
      expect(begun).toMatchObject({ status: 201, body: { secret: expect.stringMatching(/^[A-Z2-7]{32}$/) } });
      expect(begun.headers.get('cache-control')).toBe('no-store');
      expect(begun.body.uri).toMatch(
        new RegExp(`^otpauth://totp/.*${encodeURIComponent(user.email)}.*secret=${begun.body.secret}`),
      );
      expect((await login(user)).status).toBe(200);
      const confirmed = await app.post('/auth/second-factor/confirm', {
        token: user.token,
        body: { code: await codeOf(app, begun.body.secret) },
      });
      expect(confirmed.status).toBe(200);
      expect(confirmed.headers.get('cache-control')).toBe('no-store');
      expect(new Set(confirmed.body.recoveryCodes).size).toBe(10);
      expect(await login(user)).toMatchObject({ status: 401, body: { code: 'MFA_REQUIRED' } });
      expect((await app.get('/auth/me', { token: elsewhere })).status).toBe(401);
      expect(await app.get('/auth/me', { token: user.token })).toMatchObject({
        status: 200,
        body: { mustEnrol: false, user: { hasSecondFactor: true } },
      });
      expect(await app.get('/auth/second-factor', { token: user.token })).toMatchObject({
        body: { isSetUp: true, recoveryCodesLeft: 10, isRequired: false, setUpAt: expect.any(String) },
      });
      expect((await trailOf(app, user.id)).map(({ action }) => action)).toEqual(
        expect.arrayContaining(['second-factors:create', 'second-factors:activate']),
      );
    });

    it('refuses a wrong first code beside its field, and tries beyond five a step', async () => {
      const user = await app.addUser([]);
      const { secret } = (
        await app.post('/auth/second-factor', { token: user.token, body: { password: user.password } })
      ).body as { secret: string };
      const code = await wrongCode(app, secret);
      const before = await stepNow();
      const statuses = [];
      for (let attempt = 0; attempt < 6; attempt += 1)
        statuses.push((await app.post('/auth/second-factor/confirm', { token: user.token, body: { code } })).status);
      if ((await stepNow()) === before) expect(statuses).toEqual([400, 400, 400, 400, 400, 429]);
      else expect(statuses).toEqual(expect.arrayContaining([400]));
      expect((await login(user)).status).toBe(200);
    });

    it('is not set up by the secret of another attempt, nor one that is not begun', async () => {
      const user = await app.addUser([]);
      expect(
        await app.post('/auth/second-factor/confirm', { token: user.token, body: { code: '123456' } }),
      ).toMatchObject({ status: 404, body: { code: 'SECOND_FACTOR_NOT_FOUND' } });
      const begin = () => app.post('/auth/second-factor', { token: user.token, body: { password: user.password } });
      const first = (await begin()).body.secret as string;
      const second = (await begin()).body.secret as string;
      expect(
        (await app.post('/auth/second-factor/confirm', { token: user.token, body: { code: await codeOf(app, first) } }))
          .status,
      ).toBe(400);
      expect(
        (
          await app.post('/auth/second-factor/confirm', {
            token: user.token,
            body: { code: await codeOf(app, second) },
          })
        ).status,
      ).toBe(200);
      expect(await begin()).toMatchObject({ status: 409, body: { code: 'SECOND_FACTOR_EXISTS' } });
    });

    it('is confirmed once by requests at the same time, on two replicas', async () => {
      for (let round = 0; round < 10; round += 1) {
        const user = await app.addUser([]);
        const { secret } = (
          await app.post('/auth/second-factor', { token: user.token, body: { password: user.password } })
        ).body as { secret: string };
        const code = await codeOf(app, secret);
        const answers = await Promise.all(
          [app, other, app, other].map((replica) =>
            replica.post('/auth/second-factor/confirm', { token: user.token, body: { code } }),
          ),
        );
        expect(answers.map(({ status }) => status).sort()).toEqual([200, 404, 404, 404]);
        const { recoveryCodes } = answers.find(({ status }) => status === 200)!.body as { recoveryCodes: string[] };
        expect((await login(user, recoveryCodes[0])).status).toBe(200);
      }
    });

    it.each(['', '/recovery-codes', '/remove'])(
      'asks for the password at POST /auth/second-factor%s, and takes it from a session alone',
      async (path) => {
        const { user } = await withFactor(['creator']);
        const send = (credentials: { token?: string; apiKey?: string }, password: string) =>
          app.post(`/auth/second-factor${path}`, { ...credentials, body: { password } });
        expect(await send({ token: user.token }, 'not the password')).toMatchObject({
          status: 403,
          body: { code: 'WRONG_PASSWORD' },
        });
        const { secret } = await issueKey(app, admin, { ownerId: user.id, roles: ['creator'] });
        expect(await send({ apiKey: secret }, user.password)).toMatchObject({
          status: 403,
          body: { code: 'SESSION_REQUIRED' },
        });
        expect(await app.get('/auth/second-factor', { apiKey: secret })).toMatchObject({
          status: 403,
          body: { code: 'SESSION_REQUIRED' },
        });
        expect((await login(user)).body.code).toBe('MFA_REQUIRED');
      },
    );
  });

  describe('at the sign-in', () => {
    it('is looked at after the password alone: a wrong password hears nothing of it and takes no try', async () => {
      const { user, factor } = await withFactor();
      await afterAWhile(app, user.id);
      const wrong = { ...user, password: 'not the password' };
      for (let attempt = 0; attempt < 6; attempt += 1)
        expect((await login(wrong, await wrongCode(app, factor.secret))).body.code).toBe('UNAUTHENTICATED');
      expect((await login(user, await codeOf(app, factor.secret))).status).toBe(200);
    });

    it('takes a code once, the one that set it up too', async () => {
      const { user, factor } = await withFactor();
      const [row] = await app.dataSource.query<{ last_step: string }[]>(
        'SELECT last_step FROM second_factor WHERE user_id = $1',
        [user.id],
      );
      const used = codeOfStep(factor.secret, Number(row!.last_step));
      expect(await login(user, used)).toMatchObject({ status: 401, body: { code: 'MFA_CODE_REFUSED' } });
      await afterAWhile(app, user.id);
      const code = await codeOf(app, factor.secret);
      expect((await login(user, ` ${code.slice(0, 3)} ${code.slice(3)}`)).status).toBe(200);
      expect(await login(user, code)).toMatchObject({ status: 401, body: { code: 'MFA_CODE_REFUSED' } });
      const [entry] = (await trailOf(app, user.id)).filter(({ action }) => action === 'auth:login').slice(-1);
      expect(entry!.details).toMatchObject({ secondFactor: 'totp' });
    });

    it('takes a code once from requests at the same time, on two replicas', async () => {
      const { user, factor } = await withFactor();
      for (let round = 0; round < 5; round += 1) {
        await afterAWhile(app, user.id);
        const code = await codeOf(app, factor.secret);
        const answers = await Promise.all(
          [app, other, app, other].map((replica) => login(user, code, from(), replica)),
        );
        expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
      }
    });

    it('takes five tries a step, whatever comes at the same time to two replicas', async () => {
      const { user, factor } = await withFactor();
      await afterAWhile(app, user.id);
      const code = await wrongCode(app, factor.secret);
      const before = await stepNow();
      // As many tries of one account as are let through beside each other: the guessing of passwords has a limit of its
      // own.
      const answers = await Promise.all(
        Array.from({ length: 16 }, (_, index) => login(user, code, from(), index % 2 === 0 ? app : other)),
      );
      const steps = (await stepNow()) - before + 1;
      const looked = answers.filter(({ status }) => status === 401).length;
      expect(looked).toBeGreaterThanOrEqual(5);
      expect(looked).toBeLessThanOrEqual(5 * steps);
      const refused = answers.filter(({ status }) => status === 429);
      expect(refused).toHaveLength(16 - looked);
      for (const { body, headers } of refused) {
        expect(body.code).toBe('TOO_MANY_REQUESTS');
        expect(Number(headers.get('retry-after'))).toBe(30);
      }
    });

    it('counts a wrong code like a wrong password: 20 of an account, whose known browser gets in', async () => {
      const { user, factor } = await withFactor();
      await afterAWhile(app, user.id);
      const signedIn = await login(user, await codeOf(app, factor.secret));
      const cookie = signedIn.headers
        .getSetCookie()
        .map((line) => line.split(';')[0]!)
        .join('; ');
      const code = await wrongCode(app, factor.secret);
      for (let attempt = 0; attempt < 20; attempt += 1) {
        await afterAWhile(app, user.id);
        expect(await login(user, code)).toMatchObject({ status: 401, body: { code: 'MFA_CODE_REFUSED' } });
      }
      await afterAWhile(app, user.id);
      const refused = await login(user, await codeOf(app, factor.secret));
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(60);
      expect((await login(user, await codeOf(app, factor.secret), { ...from(), cookie })).status).toBe(200);
    });

    it('counts a missing code nowhere', async () => {
      const { user, factor } = await withFactor();
      const headers = from();
      for (let attempt = 0; attempt < 25; attempt += 1)
        expect((await login(user, undefined, headers)).body.code).toBe('MFA_REQUIRED');
      await afterAWhile(app, user.id);
      expect((await login(user, await codeOf(app, factor.secret), headers)).status).toBe(200);
    });

    it('tells of a right password that no code followed, and of none that one followed', async () => {
      const [stolen, own] = [await withFactor(), await withFactor()];
      const counted = async () =>
        Number(
          /^latchkey_sign_in_failures_total\{reason="missing-code"\} (\d+)$/m.exec(
            await app.app.get(Metrics, { strict: false }).registry.metrics(),
          )![1],
        );
      const timeIsOver = async () => {
        const failures = app.app.get(SignInFailures, { strict: false });
        failures['sweep'](Number.POSITIVE_INFINITY);
        await failures['judging'];
        failures['sweep'](Number.POSITIVE_INFINITY);
      };
      await app.dataSource.query(`UPDATE users SET last_sign_in_at = now() - interval '1 hour' WHERE id IN ($1, $2)`, [
        stolen.user.id,
        own.user.id,
      ]);
      await timeIsOver();
      const before = await counted();
      const address = from();
      for (const { user } of [stolen, own])
        expect((await login(user, undefined, address)).body.code).toBe('MFA_REQUIRED');
      await afterAWhile(app, own.user.id);
      // The code comes to another replica than the password.
      const signedIn = await login(own.user, await codeOf(app, own.factor.secret), from(), other);
      expect(signedIn).toMatchObject({ status: 200, body: { notices: null } });
      expect(await counted()).toBe(before);
      await timeIsOver();
      expect(await counted()).toBe(before + 1);
      const [row] = await trailRowsOnce(app, 1, `action = 'auth:login' AND outcome = 'refused' AND resource_id = $1`, [
        stolen.user.id,
      ]);
      expect(row).toMatchObject({
        ip: address['x-forwarded-for'],
        details: { code: 'SIGN_IN_FAILED', count: 1, reasons: { 'missing-code': 1 } },
      });
      await afterAWhile(app, stolen.user.id);
      const person = await login(stolen.user, await codeOf(app, stolen.factor.secret));
      expect(person.body.notices.failedSignIns).toMatchObject({ count: 1, lastIp: address['x-forwarded-for'] });
    });

    it('accuses nobody who types the code while a replica ends', async () => {
      const { user } = await withFactor();
      await app.dataSource.query(`UPDATE users SET last_sign_in_at = now() - interval '1 hour' WHERE id = $1`, [
        user.id,
      ]);
      const ending = await TestApp.start(TRUSTED, app.database);
      expect((await login(user, undefined, from(), ending)).body.code).toBe('MFA_REQUIRED');
      // Its pool lives on: Passport knows the strategy of the application that was made last, for the whole process.
      await ending.app.close();
      ended.push(ending);
      expect(
        await app.dataSource.query(
          `SELECT details FROM audit_event WHERE action = 'auth:login' AND outcome = 'refused' AND resource_id = $1`,
          [user.id],
        ),
      ).toEqual([]);
    });

    it('leaves an office behind one address its tries', async () => {
      const headers = from();
      const { user, factor } = await withFactor();
      for (let round = 0; round < 6; round += 1) {
        for (let person = 0; person < 18; person += 1)
          expect((await login(user, undefined, headers)).body.code).toBe('MFA_REQUIRED');
        await afterAWhile(app, user.id);
        expect((await login(user, await codeOf(app, factor.secret), headers)).status).toBe(200);
      }
    });

    it('opens no session without a code that was begun before it was set up', async () => {
      const user = await app.addUser([]);
      const { secret } = (
        await app.post('/auth/second-factor', { token: user.token, body: { password: user.password } })
      ).body as { secret: string };
      const code = await codeOf(app, secret);
      const [, ...logins] = await Promise.all([
        app.post('/auth/second-factor/confirm', { token: user.token, body: { code } }),
        ...[1, 2, 3, 4, 5, 6].map(() => login(user)),
      ]);
      for (const { status, body } of logins) {
        if (status === 200) expect((await app.get('/auth/me', { token: body.accessToken })).status).toBe(401);
        else expect(body.code).toBe('MFA_REQUIRED');
      }
    });
  });

  describe('by its recovery codes', () => {
    it('opens one session each, however they are typed', async () => {
      const { user, factor } = await withFactor();
      const [code] = factor.recoveryCodes;
      const typed = ` ${code!.toLowerCase().replaceAll('-', ' ')} `;
      expect((await login(user, typed)).status).toBe(200);
      expect(await login(user, code)).toMatchObject({ status: 401, body: { code: 'MFA_CODE_REFUSED' } });
      expect(await app.get('/auth/second-factor', { token: user.token })).toMatchObject({
        body: { recoveryCodesLeft: 9 },
      });
      const [entry] = (await trailOf(app, user.id)).filter(({ action }) => action === 'auth:login').slice(-1);
      expect(entry!.details).toMatchObject({ secondFactor: 'recovery-code' });
    });

    it('opens one session with one code from requests at the same time, on two replicas', async () => {
      const { user, factor } = await withFactor();
      for (const code of factor.recoveryCodes.slice(0, 5)) {
        await afterAWhile(app, user.id);
        const answers = await Promise.all(
          [app, other, app, other].map((replica) => login(user, code, from(), replica)),
        );
        expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
      }
    });

    it('knows the newest ones alone', async () => {
      const { user, factor } = await withFactor();
      const drawn = await app.post('/auth/second-factor/recovery-codes', {
        token: user.token,
        body: { password: user.password },
      });
      expect(drawn.status).toBe(200);
      expect(drawn.body.recoveryCodes).toHaveLength(10);
      expect((await login(user, factor.recoveryCodes[0])).status).toBe(401);
      expect((await login(user, drawn.body.recoveryCodes[0])).status).toBe(200);
      expect((await trailOf(app, user.id)).map(({ action }) => action)).toContain('second-factors:regenerate');
    });
  });

  describe('that is removed', () => {
    it('does not come back by its row: neither its secret under the next one, nor unseen as a whole', async () => {
      const { user, factor } = await withFactor();
      const stored = async () =>
        (
          await app.dataSource.query('SELECT id, sealed_secret FROM second_factor WHERE user_id = $1', [user.id])
        )[0] as {
          id: string;
          sealed_secret: Buffer;
        };
      const first = await stored();
      await app.post('/auth/second-factor/remove', { token: user.token, body: { password: user.password } });
      const next = await setUpFactor(app, user.token, user.password);
      const { id } = await stored();
      const put = async (as: string) => {
        const columns = 'id = $2, sealed_secret = $3, last_step = 0, tried_step = 0, tries = 0';
        await app.dataSource.query(`UPDATE second_factor SET ${columns} WHERE user_id = $1`, [
          user.id,
          as,
          first.sealed_secret,
        ]);
      };
      await put(id);
      expect(await doctorLine()).not.toContain(user.id);
      expect((await login(user, await codeOf(app, factor.secret))).body.code).toBe('MFA_CODE_REFUSED');
      expect((await login(user, await codeOf(app, next.secret))).body.code).toBe('MFA_CODE_REFUSED');
      await put(first.id);
      expect(await doctorLine()).toContain(`${user.id} has one that the audit trail does not tell of`);
      await app.delete(`/users/${user.id}`, { token: admin });
      expect(await doctorLine()).toMatch(/^ok/);
    });

    it('is not asked for any more, and its recovery codes open nothing of the next one', async () => {
      const { user, factor } = await withFactor();
      expect(
        (await app.post('/auth/second-factor/remove', { token: user.token, body: { password: user.password } })).status,
      ).toBe(204);
      expect((await login(user)).status).toBe(200);
      expect((await trailOf(app, user.id)).map(({ action }) => action)).toContain('second-factors:delete');
      for (const path of ['remove', 'recovery-codes']) {
        expect(
          await app.post(`/auth/second-factor/${path}`, { token: user.token, body: { password: user.password } }),
        ).toMatchObject({ status: 404, body: { code: 'SECOND_FACTOR_NOT_FOUND' } });
      }
      await setUpFactor(app, user.token, user.password);
      expect((await login(user, factor.recoveryCodes[0])).status).toBe(401);
    });

    it('is removed by another who may do all that its person may, which ends the sessions and is in the trail', async () => {
      const { user } = await withFactor();
      const boss = await app.addUser(['people']);
      expect((await app.delete(`/users/${user.id}/second-factor`, { token: boss.token })).status).toBe(204);
      expect((await app.get('/auth/me', { token: user.token })).status).toBe(401);
      expect((await login(user)).status).toBe(200);
      const [entry] = (await trailOf(app, user.id)).filter(({ action }) => action === 'second-factors:delete');
      expect(entry).toMatchObject({
        actor_id: boss.id,
        resource_type: 'user',
        details: { credential: 'second-factor' },
      });
      expect(await app.delete(`/users/${user.id}/second-factor`, { token: boss.token })).toMatchObject({
        status: 404,
        body: { code: 'SECOND_FACTOR_NOT_FOUND' },
      });
    });

    it('stays where another may do less, asks for one’s own, or about nobody', async () => {
      const { user } = await withFactor(['auditor']);
      const { user: boss } = await withFactor(['people']);
      const reset = async (id: string, token: string) =>
        (await app.delete(`/users/${id}/second-factor`, { token })).body.code as string;
      expect(await reset(user.id, boss.token)).toBe('CANNOT_GRANT');
      expect(await reset(boss.id, user.token)).toBe('PERMISSION_DENIED');
      expect(await reset(boss.id, boss.token)).toBe('VALIDATION_FAILED');
      expect(await reset(MISSING_ID, boss.token)).toBe('USER_NOT_FOUND');
      expect((await login(user)).body.code).toBe('MFA_REQUIRED');
      expect((await login(boss)).body.code).toBe('MFA_REQUIRED');
    });

    it('is gone with its user', async () => {
      const { user } = await withFactor();
      expect((await app.delete(`/users/${user.id}`, { token: admin })).status).toBe(204);
      expect(
        await app.dataSource.query(
          'SELECT 1 FROM second_factor WHERE user_id = $1 UNION ALL SELECT 1 FROM recovery_code WHERE user_id = $1',
          [user.id],
        ),
      ).toEqual([]);
    });
  });

  describe('in the database', () => {
    it('opens for its own user alone', async () => {
      const [{ user, factor }, other] = [await withFactor(), await withFactor()];
      await asOwner(app.database, (client) =>
        client.query(
          'UPDATE second_factor f SET sealed_secret = o.sealed_secret FROM second_factor o WHERE f.user_id = $1 AND o.user_id = $2',
          [other.user.id, user.id],
        ),
      );
      await afterAWhile(app, other.user.id);
      expect((await login(other.user, await codeOf(app, factor.secret))).body.code).toBe('MFA_CODE_REFUSED');
      expect((await login(other.user, other.factor.recoveryCodes[0])).body.code).toBe('MFA_CODE_REFUSED');
    });

    it('is missed by the doctor when its row is deleted', async () => {
      const { user } = await withFactor();
      expect(await doctorLine()).toMatch(
        /^ok {4}second factors are those of the audit trail \(MFA_REQUIRED=none asks nobody\)/,
      );
      await asOwner(app.database, (client) => client.query('DELETE FROM second_factor WHERE user_id = $1', [user.id]));
      expect(await doctorLine()).toContain(`${user.id} has none, although the audit trail tells that one was set up`);
      await app.delete(`/users/${user.id}`, { token: admin });
      expect(await doctorLine()).toMatch(/^ok/);
    });
  });
});

describe('MFA_REQUIRED', () => {
  let app: TestApp;
  const start = async (mode: 'admins' | 'all') => {
    app = await TestApp.start({ ...TRUSTED, MFA_REQUIRED: mode });
    await app.addRole('people', ['platform:users:update']);
  };
  const stopped = () => app.stop();
  const codesOf = async (token: string) => {
    const paths = ['/users', '/api-keys', '/roles'];
    return new Set(
      (await Promise.all(paths.map((path) => app.get(path, { token })))).map(
        ({ body }) => body.code as string | undefined,
      ),
    );
  };

  describe('admins', () => {
    beforeAll(() => start('admins'));
    afterAll(stopped);

    it('lets a session of an admin do nothing but enrol, on every route there is', async () => {
      const token = await app.adminToken();
      expect(await app.get('/auth/me', { token })).toMatchObject({ status: 200, body: { mustEnrol: true } });
      const wrong: string[] = [];
      let refused = 0;
      for (const { method, path, rule } of app.app.get(RouteAccess, { strict: false }).routes()) {
        if (rule?.kind === 'public' || rule?.kind === 'gateway' || path.startsWith('/metrics')) continue;
        const name = `${method} ${path}`;
        const prefix = /^\/health(\/|$)/.test(path) ? '/' : '';
        const answer = await app.request(
          method,
          `${prefix}${path.replace(/:id\b/g, MISSING_ID).replace(/:\w+/g, 'missing')}`,
          { token: name === 'POST /auth/logout' ? await app.adminToken() : token },
        );
        const isRefused = answer.status === 403 && answer.body.code === 'MFA_ENROLMENT_REQUIRED';
        if (isRefused) refused += 1;
        if (isRefused === WHILE_ENROLLING.includes(name)) wrong.push(`${name}: ${answer.status} ${answer.body?.code}`);
      }
      expect(wrong).toEqual([]);
      expect(refused).toBeGreaterThan(30);
    });

    it('opens the way once the factor is set up, in the same session', async () => {
      const user = await app.addUser(['people']);
      expect(await codesOf(user.token)).toEqual(new Set(['MFA_ENROLMENT_REQUIRED']));
      await setUpFactor(app, user.token, user.password);
      expect((await app.get('/auth/me', { token: user.token })).body.mustEnrol).toBe(false);
      expect((await codesOf(user.token)).has('MFA_ENROLMENT_REQUIRED')).toBe(false);
      await app.post('/auth/second-factor/remove', { token: user.token, body: { password: user.password } });
      expect(await codesOf(user.token)).toEqual(new Set(['MFA_ENROLMENT_REQUIRED']));
    });

    it('asks nobody who may not change people, roles or keys of others', async () => {
      const user = await app.addUser(['creator', 'auditor']);
      expect((await codesOf(user.token)).has('MFA_ENROLMENT_REQUIRED')).toBe(false);
      await app.dataSource.query(`INSERT INTO user_role VALUES ($1, 'people')`, [user.id]);
      expect(await codesOf(user.token)).toEqual(new Set(['MFA_ENROLMENT_REQUIRED']));
    });

    it('does not concern API keys, and such a session is not active for who introspects it', async () => {
      const boss = await app.addUser(['admin']);
      await setUpFactor(app, boss.token, boss.password);
      const waiting = await app.addUser(['admin']);
      const { secret } = await issueKey(app, boss.token, { ownerId: waiting.id, roles: ['admin'] });
      expect((await app.get('/users', { apiKey: secret })).status).toBe(200);
      const introspect = async (token: string) =>
        (
          await app.post('/introspect', {
            apiKey: secret,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            rawBody: new URLSearchParams({ token }).toString(),
          })
        ).body.active as boolean;
      expect(await introspect(boss.token)).toBe(true);
      expect(await introspect(waiting.token)).toBe(false);
    });

    it('is told by the doctor with whom it stops', async () => {
      const user = await app.addUser(['people']);
      const line = (await examine(app.config, app.dataSource))
        .map(lineOf)
        .find((text) => text.includes('second factors are'));
      expect(line).toMatch(/MFA_REQUIRED=admins: \d+ must set one up at the next sign-in: .*admin@latchkey\.test/);
      expect(line).toContain(user.email);
    });
  });

  describe('all', () => {
    beforeAll(() => start('all'));
    afterAll(stopped);

    it('asks everybody who signs in with a password', async () => {
      const user = await app.addUser([]);
      expect(await codesOf(user.token)).toEqual(new Set(['MFA_ENROLMENT_REQUIRED']));
      expect((await app.get('/auth/second-factor', { token: user.token })).body.isRequired).toBe(true);
    });

    it('does not ask people whom the identity provider signs in, and has nothing for them', async () => {
      const identity = {
        issuer: 'https://login.test',
        subject: 'ada',
        email: 'ada@login.test',
        name: 'Ada',
        roles: ['admin'],
        isEmailVerified: true,
        issuedAt: 1,
      };
      const session = await app.app
        .get(AuthService, { strict: false })
        .loginByIdentity(systemCaller('auth:login'), identity);
      const token = session!.accessToken;
      expect((await app.get('/users', { token })).status).toBe(200);
      expect(await app.post('/auth/second-factor', { token, body: { password: 'any password' } })).toMatchObject({
        status: 409,
        body: { code: 'HAS_NO_PASSWORD' },
      });
    });
  });
});
