import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { TestApp, type TestUser } from '../../support/app.js';

const PUBLIC_URL = 'https://keys.latchkey.test';

describe('the session cookie', () => {
  let app: TestApp;
  let user: TestUser;
  let other: TestUser;
  let name: string;

  const begin = async (variables: Record<string, string>) => {
    app = await TestApp.start(variables);
    [user, other] = [await app.addUser([]), await app.addUser([])];
    const [row] = await app.dataSource.query<{ id: string }[]>('SELECT id FROM installation');
    name = variables['PUBLIC_URL'] === undefined ? 'latchkey_session' : `__Host-latchkey_${row!.id.slice(0, 8)}`;
  };
  const signIn = () => app.post('/auth/login', { body: { email: user.email, password: user.password } });
  const me = (cookie: string) => app.get('/auth/me', { headers: { cookie } });
  /** As a browser that knows the server by another name. */
  const setCookiesAt = (host: string, cookie: string) =>
    new Promise<string[]>((resolve, reject) => {
      const sent = request(`${app.baseUrl}/api/v1/auth/me`, { headers: { host, cookie } }, (answer) => {
        answer.resume();
        resolve(answer.headers['set-cookie'] ?? []);
      });
      sent.once('error', reject).end();
    });
  const twice = (first: string, second: string) => `${name}=${first}; theme=dark; ${name}=${second}`;

  describe('with https', () => {
    beforeAll(() => begin({ PUBLIC_URL }));
    afterAll(() => app.stop());

    it('is bound to this host by its name, and has what the name asks for', async () => {
      const [set, former] = (await signIn()).headers.getSetCookie();
      expect(set).toMatch(new RegExp(`^${name}=[^;]+; Max-Age=28800; Path=/; HttpOnly; Secure; SameSite=Strict$`));
      expect(set).not.toMatch(/Domain=/i);
      expect(former).toMatch(/^latchkey_session=; Max-Age=0; Path=\/; /);
    });

    it('counts under that name alone', async () => {
      expect((await me(`${name}=${user.token}`)).body.user.id).toBe(user.id);
      for (const wrong of ['latchkey_session', name.toUpperCase(), '__Host-latchkey_00000000', `__Secure-${name}`]) {
        expect([wrong, (await me(`${wrong}=${user.token}`)).status]).toEqual([wrong, 401]);
      }
    });

    it('is not pushed aside by one of the plain name that a neighbour has set', async () => {
      expect((await me(`latchkey_session=${other.token}; ${name}=${user.token}`)).body.user.id).toBe(user.id);
    });

    it('is taken out at the sign-out', async () => {
      const token = await app.tokenOf(user.email, user.password);
      const { status, headers } = await app.post('/auth/logout', {
        headers: { cookie: `${name}=${token}`, origin: PUBLIC_URL },
      });
      expect(status).toBe(204);
      expect(headers.getSetCookie()).toEqual([
        expect.stringMatching(new RegExp(`^${name}=; Max-Age=0; Path=/; .*Secure`)),
      ]);
    });

    it('counts for nothing when it comes twice, and is removed from the one place there is', async () => {
      const { status, headers } = await me(twice(user.token, other.token));
      expect(status).toBe(401);
      expect(headers.getSetCookie()).toEqual([expect.stringMatching(new RegExp(`^${name}=; Max-Age=0; Path=/; `))]);
    });
  });

  describe('with http', () => {
    beforeAll(() => begin({}));
    afterAll(() => app.stop());

    it('has the plain name', async () => {
      expect((await signIn()).headers.getSetCookie()).toEqual([
        expect.stringMatching(/^latchkey_session=[^;]+; Max-Age=28800; Path=\/; HttpOnly; SameSite=Strict$/),
        expect.stringMatching(/^latchkey_device=[^;]+; Max-Age=15552000; Path=\/; HttpOnly; SameSite=Strict$/),
      ]);
    });

    it.each(['the attacker’s first', 'the attacker’s second', 'the same twice', 'one that is empty'])(
      'counts for nothing when it comes twice: %s',
      async (order) => {
        const cookie = {
          'the attacker’s first': twice(other.token, user.token),
          'the attacker’s second': twice(user.token, other.token),
          'the same twice': twice(user.token, user.token),
          'one that is empty': twice(user.token, ''),
        }[order]!;
        const { status, body, headers } = await me(cookie);
        expect([status, body.detail]).toEqual([
          401,
          'The session cookie came more than once, so none of them counts, and all are removed. Sign in again.',
        ]);
        expect(headers.getSetCookie().length).toBeGreaterThan(0);
      },
    );

    it('is removed from every place a browser may have one of two from', async () => {
      const lines = await setCookiesAt('keys.example.com', twice(user.token, other.token));
      const removed = lines.map((line) => {
        expect(line).toMatch(/^latchkey_session=; Max-Age=0; .*Expires=Thu, 01 Jan 1970/);
        return `${/Domain=([^;]+)/.exec(line)?.[1] ?? 'host'} ${/Path=([^;]+)/.exec(line)![1]}`;
      });
      const paths = [
        '/',
        '/api',
        '/api/',
        '/api/v1',
        '/api/v1/',
        '/api/v1/auth',
        '/api/v1/auth/',
        '/api/v1/auth/me',
        '/api/v1/auth/me/',
      ];
      expect(removed.sort()).toEqual(
        ['host', 'keys.example.com', 'example.com']
          .flatMap((domain) => paths.map((path) => `${domain} ${path}`))
          .sort(),
      );
    });

    it('takes nothing from a credential that a browser does not add by itself when it comes twice', async () => {
      expect(
        (await app.get('/auth/me', { token: other.token, headers: { cookie: twice(user.token, user.token) } })).body
          .user.id,
      ).toBe(other.id);
    });

    it('keeps nobody from signing in when it comes twice', async () => {
      expect(
        (
          await app.post('/auth/login', {
            body: { email: user.email, password: user.password },
            headers: { cookie: twice('x', 'y') },
          })
        ).status,
      ).toBe(200);
    });
  });
});
