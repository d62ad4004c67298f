import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Conditions } from '../../../src/common/conditions.js';
import { hashingSlots } from '../../../src/users/hashing-slots.js';
import { type Answer, TestApp } from '../../support/app.js';

describe('POST /auth/login', () => {
  let app: TestApp;
  /** Each test comes from an address of its own: what one uses up is not missing in the next. */
  let addresses = 0;
  const from = () => ({ 'x-forwarded-for': `203.0.113.${(addresses += 1)}` });
  const login = (email: unknown, password: unknown, headers: Record<string, string>) =>
    app.post('/auth/login', { body: { email, password }, headers });

  beforeAll(async () => {
    app = await TestApp.start({ TRUSTED_PROXIES: '127.0.0.1/32' });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('opens a session, as bearer token and as cookie that scripts cannot read', async () => {
      const user = await app.addUser(['creator']);
      const { status, body, headers } = await login(` ${user.email.toUpperCase()} `, user.password, from());
      expect(status).toBe(200);
      expect(body).toMatchObject({
        accessToken: expect.any(String),
        expiresAt: expect.any(String),
        user: { id: user.id, roles: ['creator'], lastSignInAt: expect.any(String) },
      });
      expect(headers.getSetCookie()).toEqual([
        expect.stringMatching(/^latchkey_session=[^;]+; Max-Age=28800; Path=\/; HttpOnly; SameSite=Strict$/),
        expect.stringMatching(/^latchkey_device=[^;]+; Max-Age=15552000; Path=\/; HttpOnly; SameSite=Strict$/),
      ]);
      expect(headers.get('cache-control')).toBe('no-store');
    });

    it('is refused where too many wait, which is no outage of the management plane', async () => {
      let free = () => {};
      const held = new Promise<void>((resolve) => (free = resolve));
      const waiting = Array.from({ length: 66 }, () => hashingSlots.run('unknown', () => held));
      const answers = await Promise.all(
        [1, 2, 3].map((n) => login(`waits-${n}@latchkey.test`, 'six grey herons', from())),
      );
      expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
      expect(app.app.get(Conditions, { strict: false }).check()['management']!.reason).toBeUndefined();
      free();
      await Promise.all(waiting);
    });

    it('ends the session that the browser had before, also one that could only change its password', async () => {
      const person = { email: 'replaced@latchkey.test', password: 'six grey herons in a row' };
      await app.post('/users', { token: await app.adminToken(), body: { name: 'Replaced', ...person } });
      const { accessToken } = (await login(person.email, person.password, from())).body;
      expect((await app.get('/auth/me', { token: accessToken })).body.mustChangePassword).toBe(true);
      await login(person.email, person.password, { ...from(), cookie: `latchkey_session=${accessToken}` });
      expect((await app.get('/auth/me', { token: accessToken })).status).toBe(401);
    });

    it('ends the session that the browser had before, and no other', async () => {
      const [user, other] = [await app.addUser([]), await app.addUser([])];
      const works = async (token: string) => (await app.get('/auth/me', { token })).status === 200;
      const [before, elsewhere] = [await app.tokenOf(user.email, user.password), user.token];
      const again = await login(user.email, user.password, { ...from(), cookie: `latchkey_session=${before}` });
      expect([await works(before), await works(elsewhere), await works(again.body.accessToken)]).toEqual([
        false,
        true,
        true,
      ]);
      const rows = await app.dataSource.query<{ action: string }[]>(
        `SELECT action FROM audit_event WHERE resource_id = $1 ORDER BY seq DESC LIMIT 2`,
        [user.id],
      );
      expect(rows.map(({ action }) => action)).toEqual(['auth:logout', 'auth:login']);
      // Also of another person who used this browser, but not for a password that is wrong.
      await login(user.email, 'wrong', { ...from(), cookie: `latchkey_session=${other.token}` });
      expect(await works(other.token)).toBe(true);
      await login(user.email, user.password, { ...from(), cookie: `latchkey_session=${other.token}` });
      expect(await works(other.token)).toBe(false);
      for (const cookie of ['latchkey_session=a.b.c', `latchkey_session=${before}`])
        expect((await login(user.email, user.password, { ...from(), cookie })).status).toBe(200);
    });

    it('is chained in the audit trail, with who and from where', async () => {
      const user = await app.addUser([]);
      const headers = from();
      await login(user.email, user.password, headers);
      const rows = await app.dataSource.query<{ action: string; ip: string }[]>(
        `SELECT action, ip FROM audit_event WHERE resource_id = $1 ORDER BY seq DESC LIMIT 1`,
        [user.id],
      );
      expect(rows).toEqual([{ action: 'auth:login', ip: headers['x-forwarded-for'] }]);
    });

    it('counts no right password, however often it is given', async () => {
      const user = await app.addUser([]);
      const headers = from();
      for (let attempt = 0; attempt < 19; attempt += 1) await login(user.email, 'wrong', headers);
      for (let attempt = 0; attempt < 4; attempt += 1)
        expect((await login(user.email, user.password, headers)).status).toBe(200);
    });

    it('opens many at once', async () => {
      const user = await app.addUser([]);
      const headers = from();
      const answers = await Promise.all(Array.from({ length: 15 }, () => login(user.email, user.password, headers)));
      expect(answers.map(({ status }) => status)).toEqual(Array(15).fill(200));
    });
  });

  describe('400', () => {
    it.each([
      [{}],
      [{ email: 'x', password: 'y' }],
      [{ email: ['a@b.co'], password: 'y' }],
      [{ email: 'a@b.co', password: '' }],
      [{ email: 'a@b.co', password: 'x'.repeat(1025) }],
      [{ email: 'a@b.co', password: 'x', remember: true }],
    ])('refuses %j', async (body) => {
      expect(await app.post('/auth/login', { body, headers: from() })).toMatchObject({
        status: 400,
        body: { code: 'VALIDATION_FAILED' },
      });
    });
  });

  describe('401', () => {
    it('answers the same for a wrong password, nobody, a disabled account and a service account', async () => {
      const [user, off, bot] = [
        await app.addUser([]),
        await app.addUser([]),
        await app.addUser([], { kind: 'service' }),
      ];
      await app.dataSource.query('UPDATE users SET is_active = false WHERE id = $1', [off.id]);
      const answers = [
        await login(user.email, 'wrong password', from()),
        await login('nobody@latchkey.test', 'wrong password', from()),
        await login(off.email, off.password, from()),
        await login(bot.email, bot.password, from()),
      ];
      expect(new Set(answers.map(({ status, body }) => JSON.stringify({ ...body, status, requestId: '' }))).size).toBe(
        1,
      );
      expect(answers[0]).toMatchObject({ status: 401, body: { detail: 'E-mail or password is wrong.' } });
    });

    it('chains no row for a failure: a stranger must not delay a revocation', async () => {
      const addresses = Array.from({ length: 10 }, from);
      await Promise.all(addresses.map((address) => login('nobody-at-all@latchkey.test', 'wrong password', address)));
      // Of these: the minute of earlier failures may end just now.
      const rows = await app.dataSource.query('SELECT 1 FROM audit_event WHERE ip = ANY($1)', [
        addresses.map((address) => address['x-forwarded-for']),
      ]);
      expect(rows).toEqual([]);
    });
  });

  describe('429', () => {
    it('slows all browsers that an account does not know, wherever they are, and says for how long', async () => {
      const user = await app.addUser([]);
      const answers = await Promise.all(Array.from({ length: 30 }, () => login(user.email, 'guess', from())));
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(20);
      const refused = await login(user.email.toUpperCase(), user.password, from());
      expect(refused).toMatchObject({
        status: 429,
        body: { code: 'TOO_MANY_REQUESTS', retryAfterSeconds: expect.any(Number) },
      });
      expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(900);
      expect(refused.body.detail).toContain('a browser in which you have signed in before');
    });

    it('counts all spellings that the database takes for an address as that account', async () => {
      const spellings = ['i1-i2-i3', 'İ1-i2-i3', 'i1-İ2-i3', 'İ1-İ2-i3'].map((name) => `${name}@latchkey.test`);
      const user = await app.addUser([]);
      await app.dataSource.query('UPDATE users SET email = $2 WHERE id = $1', [user.id, spellings[0]]);
      expect((await login(spellings[1]!, user.password, from())).status).toBe(200);
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, index) => login(spellings[index % 4]!, 'guess', from())),
      );
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(20);
    });

    it('lets the owner in with a browser that signed in before, at the attacker’s own address, too', async () => {
      const user = await app.addUser([]);
      const browser = { cookie: cookiesOf(await login(user.email, user.password, from())) };
      const attacker = from();
      for (let attempt = 0; attempt < 30; attempt += 1) await login(user.email, 'guess', attacker);
      expect((await login(user.email, user.password, attacker)).status).toBe(429);
      expect((await login(user.email, user.password, { ...attacker, ...browser })).status).toBe(200);
    });

    it('does not take the browser of another account for one that is known', async () => {
      const [user, attacker] = [await app.addUser([]), await app.addUser([])];
      const browser = { cookie: cookiesOf(await login(attacker.email, attacker.password, from())) };
      const answers = await Promise.all(
        Array.from({ length: 30 }, () => login(user.email, 'guess', { ...from(), ...browser })),
      );
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(20);
    });

    it('slows a browser that is known and guesses, and then treats it like any other', async () => {
      const user = await app.addUser([]);
      const browser = { cookie: cookiesOf(await login(user.email, user.password, from())) };
      const answers = await Promise.all(
        Array.from({ length: 60 }, () => login(user.email, 'guess', { ...from(), ...browser })),
      );
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(40);
    });

    it('slows an address that tries many accounts, existing or not', async () => {
      const attacker = from();
      const statuses: number[] = [];
      for (let round = 0; round < 11; round += 1) {
        const answers = await Promise.all(
          Array.from({ length: 10 }, (_, index) => login(`target-${round}-${index}@latchkey.test`, 'guess', attacker)),
        );
        statuses.push(...answers.map(({ status }) => status));
      }
      expect(statuses).toEqual([...Array<number>(100).fill(401), ...Array<number>(10).fill(429)]);
    });

    it('counts an IPv6 customer’s networks as one: 400 failures of a /48, whichever of its /64 they come from', async () => {
      const targets = await Promise.all(Array.from({ length: 42 }, () => app.addUser([])));
      const statuses: number[] = [];
      for (const [round, { email }] of targets.entries()) {
        const answers = await Promise.all(
          Array.from({ length: 10 }, (_, index) =>
            login(email, 'guess', { 'x-forwarded-for': `2001:db8:1:${(round * 397 + index).toString(16)}::1` }),
          ),
        );
        statuses.push(...answers.map(({ status }) => status));
      }
      expect([
        statuses.filter((status) => status === 401).length,
        statuses.filter((status) => status === 429).length,
      ]).toEqual([400, 20]);
      expect((await login('another@latchkey.test', 'guess', { 'x-forwarded-for': '2001:db8:2::1' })).status).toBe(401);
    }, 120_000);
  });
});

/** What a browser sends back of an answer. */
function cookiesOf({ headers }: Answer): string {
  return headers
    .getSetCookie()
    .map((line) => line.split(';')[0]!)
    .join('; ');
}
