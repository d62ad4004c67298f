import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, TestApp } from '../../support/app.js';
import { LoginProvider } from '../../support/login-provider.js';
import { trailOf } from '../../support/trail.js';

const cookies = ({ headers }: Answer) => headers.getSetCookie();
/** What a browser would send of the cookies it got; those that were taken out are gone. */
const kept = (answer: Answer) =>
  cookies(answer)
    .filter((line) => !line.includes('Max-Age=0'))
    .map((line) => line.split(';')[0]!)
    .join('; ');
const sessionOf = (answer: Answer) => /latchkey_session=([^;]+)/.exec(kept(answer))?.[1];
const problemOf = (answer: Answer) => new URL(answer.headers.get('location')!).searchParams.get('problem');

describe('signing in to the console with the identity provider', () => {
  let provider: LoginProvider;
  let app: TestApp;
  let admin: string;
  let count = 0;
  /** Each test comes from an address of its own, since failures are counted by it. */
  let address = '';

  beforeAll(async () => {
    provider = await LoginProvider.start();
    app = await TestApp.start({ ...provider.variables, TRUSTED_PROXIES: '127.0.0.1/32' });
    admin = await app.adminToken();
  });
  afterEach(() => {
    Object.assign(provider, { lies: {}, tokenAnswer: null, described: {}, secretIn: 'client_secret_basic' });
    address = `203.0.113.${(count += 1)}`;
  });
  afterAll(async () => {
    await app.stop();
    await provider.stop();
  });

  const aPerson = (claims: Record<string, unknown> = {}) => {
    provider.person = {
      sub: `person-${(count += 1)}`,
      name: 'Grace',
      email: 'grace@example.com',
      roles: ['staff'],
      ...claims,
    };
  };
  const begin = (query = '', on = app) => on.get(`/auth/oidc/login${query}`);
  const comeBack = (to: URL, cookie: string, on = app) =>
    on.get(`/auth/oidc/callback${to.search}`, {
      headers: { ...(cookie === '' ? {} : { cookie }), 'x-forwarded-for': address },
    });
  const signIn = async (query = '', on = app) => {
    const begun = await begin(query, on);
    return comeBack(provider.approve(begun.headers.get('location')!), kept(begun), on);
  };
  const me = (session: string, on = app) => on.get('/auth/me', { headers: { cookie: `latchkey_session=${session}` } });

  describe('begins', () => {
    it('by leading to the provider with a state, a nonce and a PKCE challenge, none of them twice', async () => {
      const [first, second] = [await begin(), await begin()];
      expect(first.status).toBe(302);
      const { origin, pathname, searchParams } = new URL(first.headers.get('location')!);
      expect(`${origin}${pathname}`).toBe(`${provider.issuer}/authorize`);
      expect(Object.fromEntries(searchParams)).toEqual({
        response_type: 'code',
        client_id: provider.clientId,
        redirect_uri: `${app.config.publicUrl}/api/v1/auth/oidc/callback`,
        scope: 'openid profile email',
        state: expect.stringMatching(/^[\w-]{43}$/),
        nonce: expect.stringMatching(/^[\w-]{43}$/),
        code_challenge: expect.stringMatching(/^[\w-]{43}$/),
        code_challenge_method: 'S256',
      });
      const other = new URL(second.headers.get('location')!).searchParams;
      for (const name of ['state', 'nonce', 'code_challenge']) expect(other.get(name)).not.toBe(searchParams.get(name));
      expect(first.headers.get('cache-control')).toBe('no-store');
    });

    it('with a cookie for ten minutes that scripts and other routes do not see, and that is no session', async () => {
      const begun = await begin();
      expect(cookies(begun)).toEqual([
        expect.stringMatching(
          /^latchkey_sign_in=[^;]+; Max-Age=600; Path=\/api\/v1\/auth\/oidc; HttpOnly; SameSite=Lax$/,
        ),
      ]);
      const text = kept(begun).split('=')[1]!;
      expect((await me(text)).status).toBe(401);
      expect((await app.get('/auth/me', { token: text })).status).toBe(401);
    });

    it.each([
      'https://evil.example/console',
      '//evil.example/console',
      '/\\evil.example',
      '/console/..//evil.example',
      '/console/../docs',
      '/console.evil.example',
      '/consoles',
      'console',
      'javascript:alert(1)',
      '/docs',
      `/console/${'x'.repeat(1024)}`,
    ])('nowhere when it is to end at %s', async (returnTo) => {
      const answer = await begin(`?returnTo=${encodeURIComponent(returnTo)}`);
      expect(answer).toMatchObject({
        status: 400,
        body: { code: 'VALIDATION_FAILED', errors: [{ path: 'returnTo' }] },
      });
      expect(cookies(answer)).toEqual([]);
    });
  });

  describe('ends', () => {
    it('in the console, with the session cookie of a password’s sign-in', async () => {
      aPerson({ roles: ['bosses', 'unknown'] });
      const answer = await signIn();
      expect(answer.status).toBe(302);
      expect(answer.headers.get('location')).toBe(`${app.config.publicUrl}/console`);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
      expect(cookies(answer)).toEqual([
        expect.stringMatching(
          /^latchkey_sign_in=; Max-Age=0; Path=\/api\/v1\/auth\/oidc; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax$/,
        ),
        expect.stringMatching(/^latchkey_session=[^;]+; Max-Age=[1-9]\d+; Path=\/; HttpOnly; SameSite=Strict$/),
      ]);
      expect((await me(sessionOf(answer)!)).body).toMatchObject({
        kind: 'user',
        roles: ['admin'],
        user: { name: 'Grace', email: 'grace@example.com', roles: ['admin'], lastSignInAt: expect.any(String) },
      });
    });

    it('with the mapped one of the groups of a large directory', async () => {
      aPerson({
        roles: [
          ...Array.from(
            { length: 200 },
            (_, index) => `${String(index).padStart(4, '0')}5b5e-0000-7cc3-b4a1-3a7c2f1d9e00`,
          ),
          'staff',
        ],
      });
      expect((await me(sessionOf(await signIn())!)).body.roles).toEqual(['creator']);
    });

    it('at the page of the console it was begun for', async () => {
      aPerson();
      expect(
        (await signIn(`?returnTo=${encodeURIComponent('/console/keys?status=active&search=a%20b#x')}`)).headers.get(
          'location',
        ),
      ).toBe(`${app.config.publicUrl}/console/keys?status=active&search=a%20b#x`);
    });

    it('in the trail, as a password’s sign-in does, with who vouched for it', async () => {
      aPerson();
      const { user } = (await me(sessionOf(await signIn())!)).body;
      expect(await trailOf(app, user.id)).toMatchObject([
        { action: 'users:create', actor_id: user.id },
        { action: 'auth:login', details: { issuer: provider.issuer, sessionId: expect.any(String) } },
      ]);
    });

    it('as the user whom the provider’s bearer tokens mean', async () => {
      aPerson();
      const ids = [
        (await me(sessionOf(await signIn())!)).body.user.id,
        (await app.get('/auth/me', { token: provider.bearerToken() })).body.user.id,
        (await me(sessionOf(await signIn())!)).body.user.id,
      ];
      expect(ids).toEqual([expect.any(String), ids[0], ids[0]]);
    });
  });

  describe('gives a session that', () => {
    it('ends at once when its user is disabled, who then cannot sign in again', async () => {
      aPerson({ sub: 'disabled later' });
      const session = sessionOf(await signIn())!;
      const { user } = (await me(session)).body;
      await app.patch(`/users/${user.id}`, { token: admin, body: { isActive: false } });
      expect((await me(session)).status).toBe(401);
      const again = await signIn();
      expect([problemOf(again), sessionOf(again)]).toEqual(['not-admitted', undefined]);
      await app.delete(`/users/${user.id}`, { token: admin });
      expect(problemOf(await signIn())).toBe('not-admitted');
    });

    it('may do what the roles allow now, not what they allowed when it began', async () => {
      aPerson();
      const session = sessionOf(await signIn())!;
      const { user } = (await me(session)).body;
      await app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['auditor'] } });
      expect((await me(session)).body.roles).toEqual(['auditor']);
    });

    it('changes nothing from another origin, and ends with a sign-out', async () => {
      aPerson();
      const cookie = `latchkey_session=${sessionOf(await signIn())!}`;
      expect((await app.post('/auth/logout', { headers: { cookie, origin: provider.issuer } })).body.code).toBe(
        'ORIGIN_NOT_ALLOWED',
      );
      expect(
        (await app.post('/auth/logout', { headers: { cookie, origin: new URL(app.config.publicUrl).origin } })).status,
      ).toBe(204);
      expect((await app.get('/auth/me', { headers: { cookie } })).status).toBe(401);
    });
  });

  describe('is refused', () => {
    const refused = async (answer: Answer, problem: string) => {
      expect([answer.status, problemOf(answer), sessionOf(answer)]).toEqual([302, problem, undefined]);
      expect(new URL(answer.headers.get('location')!).pathname).toBe('/console/sign-in');
    };

    it('when the state is another’s, without asking the provider', async () => {
      const [begun, others] = [await begin(), await begin()];
      const asked = provider.redeemed;
      await refused(await comeBack(provider.approve(others.headers.get('location')!), kept(begun)), 'expired');
      expect(provider.redeemed).toBe(asked);
    });

    it('without the cookie it began with, or with one that was made up', async () => {
      const back = provider.approve((await begin()).headers.get('location')!);
      await refused(await comeBack(back, ''), 'expired');
      await refused(await comeBack(back, `latchkey_sign_in=${await app.adminToken()}`), 'expired');
      await refused(await app.get('/auth/oidc/callback'), 'expired');
    });

    it('with two cookies of the attempt, both of which are removed', async () => {
      const [begun, others] = [await begin(), await begin()];
      const answer = await comeBack(
        provider.approve(begun.headers.get('location')!),
        `${kept(begun)}; ${kept(others)}`,
      );
      await refused(answer, 'expired');
      expect(cookies(answer).map((line) => /^latchkey_sign_in=; Max-Age=0; .*Path=([^;]+)/.exec(line)?.[1])).toEqual(
        expect.arrayContaining(['/', '/api/v1/auth/oidc', '/api/v1/auth/oidc/callback/']),
      );
    });

    it('when the same code comes twice', async () => {
      aPerson();
      const begun = await begin();
      const back = provider.approve(begun.headers.get('location')!);
      expect(sessionOf(await comeBack(back, kept(begun)))).toBeDefined();
      await refused(await comeBack(back, kept(begun)), 'refused');
    });

    it('when the code was given to another’s sign-in', async () => {
      const [mine, others] = [await begin(), await begin()];
      const back = provider.approve(mine.headers.get('location')!);
      back.searchParams.set('code', provider.approve(others.headers.get('location')!).searchParams.get('code')!);
      await refused(await comeBack(back, kept(mine)), 'refused');
    });

    it('when the person does not agree, remembering the page that was asked for', async () => {
      const begun = await begin('?returnTo=/console/keys');
      const answer = await comeBack(provider.deny(begun.headers.get('location')!), kept(begun));
      await refused(answer, 'refused');
      expect(new URL(answer.headers.get('location')!).searchParams.get('redirect')).toBe('/console/keys');
    });

    it('when another provider answers', async () => {
      const begun = await begin();
      const back = provider.approve(begun.headers.get('location')!);
      back.searchParams.set('iss', 'https://other.example');
      await refused(await comeBack(back, kept(begun)), 'refused');
    });

    it.each([
      ['a nonce of another sign-in', { nonce: 'another' }],
      ['no nonce', { nonce: undefined }],
      ['another audience', { aud: 'another-client' }],
      ['the audience of bearer tokens alone', { aud: 'latchkey-api' }],
      ['several audiences and no authorized party', { aud: ['latchkey-console', 'another-client'] }],
      ['another authorized party', { azp: 'another-client' }],
      ['another issuer', { iss: 'https://login.latchkey.test' }],
      ['an expiry in the past', { exp: Math.floor(Date.now() / 1000) - 60 }],
      ['no expiry', { exp: undefined }],
      ['no subject', { sub: undefined }],
    ])('when the ID token has %s', async (_what, lies) => {
      aPerson();
      provider.lies = lies;
      await refused(await signIn(), 'refused');
    });

    it.each([
      [400, '{"error":"invalid_grant"}'],
      [401, '{"error":"invalid_client"}'],
      [200, '{"access_token":"alone"}'],
      [200, '{"id_token":"no.token.atall"}'],
      [200, 'no JSON'],
    ])('when the provider answers the code with %s %s', async (status, body) => {
      provider.tokenAnswer = { status, body };
      await refused(await signIn(), 'refused');
    });

    it('for an address that has failed a hundred times, and not for others', async () => {
      aPerson();
      provider.tokenAnswer = { status: 400, body: '{"error":"invalid_grant"}' };
      const problems: (string | null)[] = [];
      for (let round = 0; round < 102; round += 1) problems.push(problemOf(await signIn()));
      expect(problems).toEqual([...Array<string>(100).fill('refused'), 'throttled', 'throttled']);
      provider.tokenAnswer = null;
      expect(problemOf(await signIn())).toBe('throttled');
      address = '203.0.113.250';
      expect(sessionOf(await signIn())).toBeDefined();
    });
  });

  describe('is put off', () => {
    it('while the provider cannot redeem codes, which counts against nobody', async () => {
      aPerson();
      provider.tokenAnswer = { status: 500, body: '' };
      for (let round = 0; round < 101; round += 1) expect(problemOf(await signIn())).toBe('unavailable');
      provider.tokenAnswer = null;
      expect(sessionOf(await signIn())).toBeDefined();
    });
  });

  /** Passport’s strategies are one set a process: those of the app that was started last. So these come last. */
  describe('with servers beside the first', () => {
    it('ends on another replica than it was begun on', async () => {
      const other = await TestApp.start(provider.variables, app.database);
      aPerson();
      const begun = await begin();
      const answer = await comeBack(provider.approve(begun.headers.get('location')!), kept(begun), other);
      expect((await me(sessionOf(answer)!, other)).status).toBe(200);
      await other.stop();
    });

    it('ends with Secure cookies where the server is reached by https', async () => {
      const secure = await TestApp.start(
        { ...provider.variables, PUBLIC_URL: 'https://keys.example.com' },
        app.database,
      );
      aPerson();
      const begun = await begin('', secure);
      expect(cookies(begun)).toEqual([
        expect.stringMatching(
          /^__Host-latchkey_sign_in_[0-9a-f]{8}=[^;]+; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
        ),
      ]);
      const answer = await comeBack(provider.approve(begun.headers.get('location')!), kept(begun), secure);
      expect(cookies(answer).map((line) => line.split('=')[0])).toEqual([
        expect.stringMatching(/^__Host-latchkey_sign_in_/),
        expect.stringMatching(/^__Host-latchkey_[0-9a-f]{8}$/),
        'latchkey_session',
      ]);
      expect(cookies(answer).map((line) => line.includes('; Secure'))).toEqual([true, true, true]);
      expect(answer.headers.get('location')).toBe('https://keys.example.com/console');
      await secure.stop();
    });

    it.each(['client_secret_post', 'none'] as const)(
      'ends with a provider that wants the secret otherwise (%s)',
      async (way) => {
        provider.secretIn = way;
        const other = await TestApp.start(provider.variables, app.database);
        aPerson();
        expect(sessionOf(await signIn('', other))).toBeDefined();
        await other.stop();
      },
    );

    it('is put off while the provider is away, on a page that says so', async () => {
      const away = await LoginProvider.start();
      const other = await TestApp.start(away.variables, app.database);
      await away.stop();
      const answer = await begin('?returnTo=/console/keys', other);
      expect([answer.status, problemOf(answer), cookies(answer)]).toEqual([302, 'unavailable', []]);
      expect(new URL(answer.headers.get('location')!).searchParams.get('redirect')).toBe('/console/keys');
      await other.stop();
    });

    it.each([
      ['another issuer', { issuer: 'https://other.example' }],
      ['no token endpoint', { token_endpoint: undefined }],
      ['an endpoint that is no web address', { authorization_endpoint: 'javascript:alert(1)' }],
    ])('is put off while the provider’s description names %s', async (_what, described) => {
      provider.described = described;
      const other = await TestApp.start(provider.variables, app.database);
      expect(problemOf(await begin('', other))).toBe('unavailable');
      await other.stop();
    });

    it('is not there without a client of the provider, and the console’s page does not offer it', async () => {
      const { OIDC_CLIENT_ID: _id, OIDC_CLIENT_SECRET: _secret, ...tokensAlone } = provider.variables;
      for (const variables of [tokensAlone, {}]) {
        const without = await TestApp.start(variables, app.database);
        for (const path of ['/auth/oidc/login', '/auth/oidc/callback?code=x&state=y']) {
          expect(await without.get(path)).toMatchObject({
            status: 404,
            body: { code: 'IDENTITY_PROVIDER_NOT_CONFIGURED' },
          });
        }
        expect((await without.get('//console')).body).not.toContain('latchkey:identity-provider');
        await without.stop();
      }
      expect((await app.get('//console')).body).toContain(
        '<meta name="latchkey:identity-provider" content="Example Corp" />',
      );
    });
  });
});
