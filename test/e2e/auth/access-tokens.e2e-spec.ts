import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ServerResponse } from 'node:http';
import { Metrics } from '../../../src/common/metrics.js';
import { TestApp } from '../../support/app.js';
import { TestProvider } from '../../support/key-set.js';

const CONSOLE = 'latchkey-console';
const now = () => Math.floor(Date.now() / 1000);

/** Which tokens are access tokens for this API, by its settings. What is always refused: tokens.e2e-spec.ts. */
describe('bearer tokens of an identity provider', () => {
  let provider: TestProvider;
  let app: TestApp;
  let count = 0;
  const subject = () => `access-${(count += 1)}`;
  const me = (token: string, on = app) => on.get('/auth/me', { token });
  const token = (claims: Record<string, unknown> = {}, header = {}) =>
    provider.token({ sub: subject(), ...claims }, header);

  beforeAll(async () => {
    provider = await TestProvider.start();
    app = await TestApp.start(provider.variables);
  });
  afterAll(async () => {
    await app.stop();
    await provider.stop();
  });

  it('are refused with a sentence that says what to present, and counted', async () => {
    const answer = await me(token({ events: {} }));
    expect(answer.body).toMatchObject({
      code: 'UNAUTHENTICATED',
      detail: 'This is a logout token or a security event token. Present an access token.',
    });
    const text = await app.app.get(Metrics).registry.getSingleMetricAsString('latchkey_oidc_tokens_refused_total');
    expect(text).toMatch(/\{reason="events"\} 1\n/);
    expect(text).toMatch(/\{reason="client"\} 0\n?/);
  });

  describe('say whether the e-mail address is verified', () => {
    it.each([
      [true, true],
      ['true', true],
      [false, false],
      ['false', false],
      [1, false],
      [undefined, false],
    ])('by email_verified: %p', async (claim, expected) => {
      const { body } = await me(token({ email: 'grace@example.com', email_verified: claim }));
      expect(body.user).toMatchObject({ email: 'grace@example.com', isEmailVerified: expected });
    });

    it('for as long as the newest token says so, and of this address', async () => {
      const sub = subject();
      const seen = async (claims: Record<string, unknown>, ago: number) =>
        (await me(provider.token({ sub, iat: now() - ago, ...claims }))).body.user.isEmailVerified;
      expect(await seen({ email: 'a@example.com', email_verified: false }, 90)).toBe(false);
      expect(await seen({ email: 'A@example.com', email_verified: true }, 80)).toBe(true);
      expect(await seen({ email: 'b@example.com', email_verified: true }, 70)).toBe(false);
      expect(await seen({ email: 'a@example.com', email_verified: true }, 60)).toBe(true);
      expect(await seen({ email: 'a@example.com' }, 50)).toBe(false);
    });

    it('no longer once an administrator has entered another one', async () => {
      const { id } = (await me(token({ email: 'c@example.com', email_verified: true }))).body.user;
      const admin = await app.adminToken();
      expect((await app.patch(`/users/${id}`, { token: admin, body: { name: 'Renamed' } })).body.isEmailVerified).toBe(
        true,
      );
      expect(
        (await app.patch(`/users/${id}`, { token: admin, body: { email: 'admin@latchkey.test' } })).body
          .isEmailVerified,
      ).toBe(false);
    });

    it('and never enter a local account, verified or not; of these nothing is said', async () => {
      const admin = (await app.get('/auth/me', { token: await app.adminToken() })).body.user;
      expect(admin).toMatchObject({ email: 'admin@latchkey.test', isEmailVerified: null });
      for (const email_verified of [true, false]) {
        const { body } = await me(token({ email: admin.email, email_verified }));
        expect(body).toMatchObject({ permissions: [], user: { isEmailVerified: email_verified } });
        expect(body.user.id).not.toBe(admin.id);
      }
    });

    it('or that there is none', async () => {
      expect((await me(token({ email_verified: true }))).body.user).toMatchObject({
        email: null,
        isEmailVerified: null,
      });
    });
  });

  /** Passport keeps one set of strategies a process, of the newest app: what `app` itself is asked comes first. */
  const withSettings = async (settings: Record<string, string>, use: (on: TestApp) => Promise<void>) => {
    const other = await TestApp.start({ ...provider.variables, ...settings }, app.database);
    try {
      await use(other);
    } finally {
      await other.stop();
    }
  };
  const statuses = async (on: TestApp, claims: Record<string, unknown>[]) => {
    const answers = [];
    for (const one of claims) answers.push((await me(token(one), on)).status);
    return answers;
  };

  it('whose audience is the console’s client are taken of that client alone, and without a nonce', async () => {
    await withSettings({ OIDC_AUDIENCE: CONSOLE, OIDC_CLIENT_ID: CONSOLE }, async (on) => {
      const aud = CONSOLE;
      expect(await statuses(on, [{ aud }, { aud, azp: CONSOLE }, { aud, client_id: CONSOLE }])).toEqual([
        200, 200, 200,
      ]);
      const bad = [
        { azp: 'another-app' },
        { client_id: 'another-app' },
        { cid: 'another-app' },
        { appid: 'another-app' },
        { azp: CONSOLE, nonce: 'n-1' },
        { at_hash: 'h-1' },
      ];
      expect(
        await statuses(
          on,
          bad.map((claims) => ({ aud, ...claims })),
        ),
      ).toEqual(bad.map(() => 401));
    });
  });

  it('are taken of the clients in OIDC_ALLOWED_CLIENTS alone, and of none that is not named', async () => {
    await withSettings({ OIDC_ALLOWED_CLIENTS: 'ci, billing' }, async (on) => {
      expect(
        await statuses(on, [
          { azp: 'ci' },
          { client_id: 'billing' },
          { cid: 'ci' },
          { appid: 'ci' },
          { azp: 'ci', client_id: 'billing' },
        ]),
      ).toEqual([200, 200, 200, 200, 200]);
      expect(
        await statuses(on, [
          {},
          { azp: 'other' },
          { azp: 'ci', client_id: 'other' },
          { azp: 'ci, billing' },
          { azp: ['ci'] },
          { azp: 'CI' },
        ]),
      ).toEqual([401, 401, 401, 401, 401, 401]);
    });
  });

  it('for the console are taken of a client that is listed, too: callers that share its audience go on', async () => {
    await withSettings({ OIDC_AUDIENCE: CONSOLE, OIDC_CLIENT_ID: CONSOLE, OIDC_ALLOWED_CLIENTS: 'ci' }, async (on) => {
      const aud = CONSOLE;
      expect(
        await statuses(on, [
          { aud, azp: 'ci' },
          { aud, azp: CONSOLE },
        ]),
      ).toEqual([200, 200]);
      expect(await statuses(on, [{ aud, azp: 'other' }, { aud }, { aud, azp: 'ci', nonce: 'n-1' }])).toEqual([
        401, 401, 401,
      ]);
    });
  });

  describe('while the address of the key set', () => {
    const held: ServerResponse[] = [];
    afterEach(() => {
      provider.answer = null;
      for (const response of held.splice(0)) response.destroy();
    });

    const good = (response: ServerResponse) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [key()] }));
    const key = (kid = 'rsa-1') => ({ ...provider.keys.get('rsa-1')!.publicKey.export({ format: 'jwk' }), kid });

    it.each<[string, (response: ServerResponse) => void]>([
      [
        'leads elsewhere',
        (response) => void response.writeHead(302, { location: provider.uri.replace('/jwks', '/elsewhere') }).end(),
      ],
      ['says nothing', (response) => void held.push(response)],
      ['never comes to an end', (response) => void held.push(dribble(response.writeHead(200)))],
      [
        'says more than a set has',
        (response) => void response.end(JSON.stringify({ keys: [key()], more: 'x'.repeat(300 * 1024) })),
      ],
      [
        'has thousands of keys',
        (response) =>
          void response.end(
            JSON.stringify({
              keys: [...Array.from({ length: 1000 }, (_, index) => ({ kty: 'EC', kid: `k${index}` })), key()],
            }),
          ),
      ],
      ['has no JSON', (response) => void response.end('<html>')],
      ['is broken', (response) => void response.writeHead(500).end()],
    ])('%s are 503, and sessions go on', async (_, answer) => {
      provider.answer = (response) => (response.req.url === '/elsewhere' ? good(response) : answer(response));
      await withSettings({}, async (on) => {
        const asked = me(token(), on);
        expect((await on.get('/auth/me', { token: await on.adminToken() })).status).toBe(200);
        expect(await asked).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE' } });
      });
    });

    it('answers as it should are accepted', async () => {
      provider.answer = good;
      await withSettings({}, async (on) => expect((await me(token(), on)).status).toBe(200));
    });
  });
});

/** A byte now and then, for as long as the client listens. */
function dribble(response: ServerResponse): ServerResponse {
  const timer = setInterval(() => (response.destroyed ? clearInterval(timer) : response.write(' ')), 200);
  return response;
}
