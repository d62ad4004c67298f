import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac, randomUUID, sign } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { TestApp, type TestUser } from '../../support/app.js';
import { TestProvider } from '../../support/key-set.js';
import { rawRequest, sendRaw } from '../../support/raw-http.js';

const base64 = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

const CONSOLE = 'latchkey-console';
/** For this API, and for the console. */
const BOTH = ['latchkey-api', CONSOLE];

/** G26: every one of these is a 401 and none a 5xx. */
describe('bad tokens', () => {
  let provider: TestProvider;
  let app: TestApp;
  let user: TestUser;
  let other: TestUser;
  let good: string;
  let sid: string;

  beforeAll(async () => {
    provider = await TestProvider.start();
    provider.addKey('rsa-1024', 'RS256', { modulusLength: 1024 });
    provider.addKey('rsa-2047', 'RS256', { modulusLength: 2047 });
    provider.addKey('rsa-e3', 'RS256', { publicExponent: 3 });
    for (const kid of ['enc', 'wraps', 'for-ps256', 'numbered', 'leaked', 'nameless']) provider.addKey(kid, 'RS256');
    provider.members = {
      enc: { use: 'enc' },
      wraps: { use: undefined, key_ops: ['wrapKey'] },
      'for-ps256': { alg: 'PS256' },
      numbered: { alg: 256 },
      leaked: { d: provider.keys.get('leaked')!.privateKey.export({ format: 'jwk' }).d },
      nameless: { kid: undefined },
    };
    provider.published.push(
      'rsa-1024',
      'rsa-2047',
      'rsa-e3',
      'enc',
      'wraps',
      'for-ps256',
      'numbered',
      'leaked',
      'nameless',
    );
    app = await TestApp.start({ ...provider.variables, OIDC_CLIENT_ID: CONSOLE });
    [user, other] = [await app.addUser(['creator']), await app.addUser(['creator'])];
    good = user.token;
    sid = (jwt.decode(good) as { sid: string }).sid;
  });
  afterAll(async () => {
    await app.stop();
    await provider.stop();
  });

  /** One of our own tokens, signed with the right secret unless `secret` says otherwise. */
  const own = (
    claims: Record<string, unknown> = {},
    options: { header?: Record<string, unknown>; secret?: string; hash?: string } = {},
  ) => {
    const { jwtIssuer: iss, jwtAudience: aud, jwtSecrets } = app.config;
    const payload = { iss, aud, sub: user.id, sid, iat: now(), exp: now() + 300, ...claims };
    return signed(
      { alg: 'HS256', typ: 'JWT', ...options.header },
      payload,
      options.secret ?? jwtSecrets[0]!.key,
      options.hash,
    );
  };
  const signed = (header: unknown, payload: unknown, secret: string | Buffer, hash = 'sha256') => {
    const input = `${base64(header)}.${base64(payload)}`;
    return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`;
  };
  const parts = () => good.split('.') as [string, string, string];
  const publicPem = () => provider.keys.get('rsa-1')!.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const foreign = () => provider.keys.get('retired')!;
  /** The payload of a good token, edited as text and signed anew. */
  const withPayload = (edit: (text: string) => string) => {
    const [header, payload] = provider.token({}, {}, 'rsa-1').split('.') as [string, string];
    const input = `${header}.${base64(edit(Buffer.from(payload, 'base64url').toString()))}`;
    return `${input}.${sign('sha256', Buffer.from(input), provider.keys.get('rsa-1')!.privateKey).toString('base64url')}`;
  };
  const statusOf = async (token: string) => (await app.get('/auth/me', { token })).status;

  const OWN: [string, () => string | Promise<string>][] = [
    ['alg none, no signature', () => `${base64({ alg: 'none', typ: 'JWT' })}.${parts()[1]}.`],
    ['alg none, the old signature', () => `${base64({ alg: 'none' })}.${parts()[1]}.${parts()[2]}`],
    ['alg None in another case', () => `${base64({ alg: 'nOnE' })}.${parts()[1]}.`],
    ['no alg at all', () => `${base64({ typ: 'JWT' })}.${parts()[1]}.${parts()[2]}`],
    ['alg HS512 with the right secret', () => own({}, { header: { alg: 'HS512' }, hash: 'sha512' })],
    ['alg HS384 in the header, HS256 in fact', () => own({}, { header: { alg: 'HS384' } })],
    ['signed with another secret', () => own({}, { secret: 'another-secret-of-more-than-32-characters' })],
    ['signed with an empty secret', () => own({}, { secret: '' })],
    [
      'signed by RS256 with a key of its own',
      () =>
        jwt.sign({ sub: user.id, sid, exp: now() + 300, iss: 'latchkey', aud: 'latchkey' }, foreign().privateKey, {
          algorithm: 'RS256',
        }),
    ],
    ['no signature', () => `${parts()[0]}.${parts()[1]}.`],
    ['two parts', () => `${parts()[0]}.${parts()[1]}`],
    ['four parts', () => `${good}.${parts()[2]}`],
    ['a truncated signature', () => good.slice(0, -4)],
    [
      'one character of the signature changed',
      () => `${parts()[0]}.${parts()[1]}.${parts()[2].startsWith('A') ? 'B' : 'A'}${parts()[2].slice(1)}`,
    ],
    ['swapped parts', () => `${parts()[1]}.${parts()[0]}.${parts()[2]}`],
    ['the payload of another under this signature', () => `${parts()[0]}.${other.token.split('.')[1]}.${parts()[2]}`],
    ['another issuer', () => own({ iss: 'another-service' })],
    ['no issuer', () => own({ iss: undefined })],
    ['another audience', () => own({ aud: 'another-service' })],
    ['a list of other audiences', () => own({ aud: ['a', 'b', 'latchkey2'] })],
    ['no audience', () => own({ aud: undefined })],
    ['expired', () => own({ exp: now() - 1 })],
    ['no expiry', () => own({ exp: undefined })],
    ['an expiry that is text', () => own({ exp: String(now() + 300) })],
    ['not valid yet', () => own({ nbf: now() + 60 })],
    ['no subject', () => own({ sub: undefined })],
    ['a subject that is no UUID', () => own({ sub: `' OR 1=1 --` })],
    ['a subject that is an object', () => own({ sub: { $ne: null } })],
    ['no session', () => own({ sid: undefined })],
    ['a session that is no UUID', () => own({ sid: `${sid}'; DROP TABLE session; --` })],
    ['a session that never was', () => own({ sid: randomUUID() })],
    ['the session of another user', () => own({ sub: other.id })],
    [
      'the subject twice, another’s last',
      () => {
        const text = JSON.stringify({ iss: 'latchkey', aud: 'latchkey', sub: user.id, sid, exp: now() + 300 });
        return signed({ alg: 'HS256' }, `${text.slice(0, -1)},"sub":"${other.id}"}`, app.config.jwtSecrets[0]!.key);
      },
    ],
    ['a payload that is a list', () => signed({ alg: 'HS256' }, [], app.config.jwtSecrets[0]!.key)],
    ['a payload that is no JSON', () => signed({ alg: 'HS256' }, 'not json', app.config.jwtSecrets[0]!.key)],
    ['a header that is no JSON', () => `${base64('nonsense')}.${parts()[1]}.${parts()[2]}`],
    ['8 193 characters', () => own({ padding: 'x'.repeat(8193) })],
    ['bytes that are no base64', () => `${parts()[0]}.§§§.${parts()[2]}`.replaceAll('§', '%')],
    [
      'a closed session',
      async () => {
        const token = await app.tokenOf(user.email, user.password);
        await app.post('/auth/logout', { token });
        return token;
      },
    ],
    [
      'an expired session',
      async () => {
        const token = await app.tokenOf(user.email, user.password);
        await app.dataSource.query(`UPDATE session SET expires_at = now() WHERE id = $1`, [
          (jwt.decode(token) as { sid: string }).sid,
        ]);
        return token;
      },
    ],
    [
      'of a disabled user',
      async () => {
        const disabled = await app.addUser([]);
        await app.dataSource.query('UPDATE users SET is_active = false WHERE id = $1', [disabled.id]);
        return disabled.token;
      },
    ],
    [
      'of a deleted user',
      async () => {
        const deleted = await app.addUser([]);
        await app.dataSource.query('UPDATE users SET deleted_at = now() WHERE id = $1', [deleted.id]);
        return deleted.token;
      },
    ],
  ];

  const PROVIDERS: [string, () => string][] = [
    ['alg none', () => `${base64({ alg: 'none', kid: 'rsa-1' })}.${provider.token().split('.')[1]}.`],
    [
      'HMAC with the public key as secret',
      () => signed({ alg: 'HS256', kid: 'rsa-1' }, jwt.decode(provider.token()), publicPem()),
    ],
    [
      'our own secret under the provider’s name',
      () => own({ iss: provider.issuer, aud: provider.audience, sub: 'subject-1' }, { header: { kid: 'rsa-1' } }),
    ],
    ['RS512 by the right key', () => provider.token({}, { alg: 'RS512' })],
    ['PS256 by a key that is meant for RS256', () => provider.token({}, { alg: 'PS256' })],
    ['RS256 in the header of an ES256 key', () => provider.token({}, { kid: 'ec-1' }, 'rsa-1')],
    ['no kid', () => provider.token({}, { kid: undefined })],
    ['an empty kid', () => provider.token({}, { kid: '' })],
    ['a kid that is a number', () => provider.token({}, { kid: 1 })],
    ['a kid that is a path', () => provider.token({}, { kid: '../../../../dev/null' })],
    ['a kid that is SQL', () => provider.token({}, { kid: `x' UNION SELECT 'key` })],
    ['a kid that is a property of every object', () => provider.token({}, { kid: '__proto__' })],
    ['a kid of 300 characters', () => provider.token({}, { kid: 'k'.repeat(300) })],
    ['a retired key', () => provider.token({}, {}, 'retired')],
    ['a retired key under the id of a good one', () => provider.token({}, { kid: 'rsa-1' }, 'retired')],
    ['a key of its own behind jku', () => provider.token({}, { kid: 'retired', jku: provider.uri }, 'retired')],
    ['a key of its own behind x5u', () => provider.token({}, { kid: 'retired', x5u: provider.uri }, 'retired')],
    [
      'a key of its own embedded as jwk',
      () => provider.token({}, { kid: 'rsa-1', jwk: foreign().publicKey.export({ format: 'jwk' }) }, 'retired'),
    ],
    ['an extension that must be understood', () => provider.token({}, { crit: ['exp'] })],
    ['another issuer', () => provider.token({ iss: 'https://login.other.test' })],
    ['an issuer that only begins like ours', () => provider.token({ iss: `${provider.issuer}/` })],
    ['another audience', () => provider.token({ aud: 'another-api' })],
    ['a list of other audiences', () => provider.token({ aud: ['another-api', 'latchkey'] })],
    ['no audience', () => provider.token({ aud: undefined })],
    ['expired', () => provider.token({ exp: now() - 30 })],
    ['no expiry', () => provider.token({ exp: undefined })],
    ['not valid yet', () => provider.token({ nbf: now() + 60 })],
    ['no subject', () => provider.token({ sub: undefined })],
    ['an empty subject', () => provider.token({ sub: ' ' })],
    ['a subject with a NUL', () => provider.token({ sub: 'a\0b' })],
    ['a subject of 256 characters', () => provider.token({ sub: 's'.repeat(256) })],
    ['no time of issue', () => provider.token({ iat: undefined })],
    ['an expiry without an end', () => withPayload((text) => text.replace(/"exp":\d+/, '"exp":1e999'))],
    [
      'a logout token',
      () =>
        provider.token(
          { events: { 'http://schemas.openid.net/event/backchannel-logout': {} }, sid: 'session-1' },
          { typ: 'logout+jwt' },
        ),
    ],
    [
      'a logout token of a provider that does not type it',
      () => provider.token({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }),
    ],
    ['a security event token', () => provider.token({ events: {} }, { typ: 'secevent+jwt' })],
    ['events that are empty', () => provider.token({ events: null })],
    ['the type of a logout token', () => provider.token({}, { typ: 'logout+jwt' })],
    ['that type in full and in capitals', () => provider.token({}, { typ: 'APPLICATION/LOGOUT+JWT' })],
    ['the type of a proof', () => provider.token({}, { typ: 'dpop+jwt' })],
    ['the type of a client’s assertion', () => provider.token({}, { typ: 'client-authentication+jwt' })],
    ['a type that is a number', () => provider.token({}, { typ: 7 })],
    [
      'an ID token of the console, for this API as well',
      () => provider.token({ aud: BOTH, azp: CONSOLE, nonce: 'n-1' }),
    ],
    [
      'an ID token without a nonce, with the hash of its access token',
      () => provider.token({ aud: BOTH, azp: CONSOLE, at_hash: 'h-1' }),
    ],
    ['an ID token with the hash of its code', () => provider.token({ aud: BOTH, c_hash: 'h-1' })],
    [
      'an ID token of another client, by its hash',
      () =>
        provider.token({ aud: ['spa', 'latchkey-api'], azp: 'spa', nonce: 'n-1', at_hash: 'h-1', auth_time: now() }),
    ],
    [
      'an ID token of another client, by its nonce alone',
      () => provider.token({ aud: 'latchkey-api', azp: 'spa', nonce: 'n-1' }),
    ],
    ['the hash of a state, beside a scope', () => provider.token({ s_hash: 'h-1', scope: 'openid' })],
    ...['ID', 'id', 'Refresh', 'OFFLINE', 'Logout', 'Serialized-ID', 'id_token'].map((typ): [string, () => string] => [
      `the claim typ ${typ}`,
      () => provider.token({ typ, scope: 'openid' }),
    ]),
    ...['id', 'refresh', 7].map((use): [string, () => string] => [
      `the claim token_use ${use}`,
      () => provider.token({ token_use: use, scope: 'openid' }),
    ]),
    ['an ID token that RFC 9068 would not type so', () => provider.token({ at_hash: 'h-1' }, { typ: 'at+jwt' })],
    ['a token for the console by another client', () => provider.token({ aud: BOTH, azp: 'another-app' })],
    ['… who is named by client_id', () => provider.token({ aud: BOTH, client_id: 'another-app' })],
    [
      '… who is named by client_id beside azp',
      () => provider.token({ aud: BOTH, azp: CONSOLE, client_id: 'another-app' }),
    ],
    ['… who is a list', () => provider.token({ aud: BOTH, azp: [CONSOLE] })],
    ['… who is nobody', () => provider.token({ aud: BOTH, azp: null })],
    ['an RSA key of 1024 bits', () => provider.token({}, {}, 'rsa-1024')],
    ['an RSA key of 2047 bits', () => provider.token({}, {}, 'rsa-2047')],
    ['an RSA key whose exponent is 3', () => provider.token({}, {}, 'rsa-e3')],
    ['a key for encryption', () => provider.token({}, {}, 'enc')],
    ['a key for wrapping keys', () => provider.token({}, {}, 'wraps')],
    ['a key that is meant for PS256', () => provider.token({}, {}, 'for-ps256')],
    ['a key whose alg is a number', () => provider.token({}, {}, 'numbered')],
    ['a key whose private part is published', () => provider.token({}, {}, 'leaked')],
    ['a key without an id in the set', () => provider.token({}, {}, 'nameless')],
    ['a key of its own behind x5c', () => provider.token({}, { kid: 'retired', x5c: ['MIIB'] }, 'retired')],
    ['8 193 characters', () => provider.token({ padding: 'x'.repeat(8193) })],
  ];

  it('are more than a hundred, and a good one of each kind is accepted', async () => {
    expect(OWN.length + PROVIDERS.length).toBeGreaterThan(100);
    expect(await statusOf(good)).toBe(200);
    expect(await statusOf(own())).toBe(200);
    expect(await statusOf(own({ aud: ['other', 'latchkey'] }))).toBe(200);
    const accepted: [Record<string, unknown>, Record<string, unknown>?, string?][] = [
      [{}],
      [{}, {}, 'ec-1'],
      [{}, { typ: undefined }],
      [{}, { typ: 'at+jwt' }],
      [{}, { typ: 'application/AT+JWT' }],
      // As Keycloak has it up to version 24, Keycloak from 25 on, Cognito, Microsoft, Okta, and RFC 9068 with a nonce.
      [{ typ: 'Bearer', azp: 'spa', nonce: 'n-1', auth_time: now(), session_state: 's', scope: 'openid' }],
      [{ typ: 'Bearer', azp: 'spa', nonce: 'n-1' }],
      [{ typ: 'DPoP', azp: 'spa', scope: 'openid' }],
      [{ token_use: 'access', client_id: 'spa', auth_time: now(), nonce: 'n-1' }],
      [{ appid: 'spa', scp: 'user_impersonation', ver: '1.0' }],
      [{ azp: 'spa', roles: ['x'], ver: '2.0', uti: 'u' }],
      [{ cid: 'spa', scp: ['openid'], nonce: 'n-1' }],
      [{ client_id: 'spa', nonce: 'n-1' }, { typ: 'at+jwt' }],
      [{ azp: 'another-app', nonce: 'n-1', scope: 'api' }],
      [{ aud: BOTH }],
      [{ aud: BOTH, azp: CONSOLE, client_id: CONSOLE }],
      [{}, { jku: provider.uri, x5u: provider.uri, jwk: foreign().publicKey.export({ format: 'jwk' }) }],
    ];
    for (const of of accepted) expect([of, await statusOf(provider.token(...of))]).toEqual([of, 200]);
    expect(await statusOf(withPayload((text) => text))).toBe(200);
  });

  it('are two session cookies, of which none counts', async () => {
    const [one, two] = [good, await app.tokenOf(other.email, other.password)].map(
      (token) => `latchkey_session=${token}`,
    );
    for (const cookie of [
      `${one}; ${two}`,
      `${two}; ${one}`,
      `${one}; ${one}`,
      `latchkey_session=; ${one}`,
      `${one}; latchkey_session=`,
    ]) {
      expect([cookie, (await app.get('/auth/me', { headers: { cookie } })).status]).toEqual([cookie, 401]);
    }
    const port = Number(new URL(app.baseUrl).port);
    expect(
      (await sendRaw(port, rawRequest('GET', '/api/v1/auth/me', [`Cookie: ${one}`, `Cookie: ${two}`]))).status,
    ).toBe(401);
    expect((await sendRaw(port, rawRequest('GET', '/api/v1/auth/me', [`Cookie: ${one}`]))).status).toBe(200);
  });

  it.each(OWN)('of our own are refused: %s', async (_, token) => {
    const answer = await app.get('/auth/me', { token: await token() });
    expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="latchkey", error="invalid_token"');
  });

  it.each(PROVIDERS)('of the identity provider are refused: %s', async (_, token) => {
    expect(await app.get('/auth/me', { token: token() })).toMatchObject({
      status: 401,
      body: { code: 'UNAUTHENTICATED' },
    });
  });

  it.each(OWN.slice(0, 16))('in the cookie are refused alike: %s', async (_, token) => {
    expect((await app.get('/auth/me', { headers: { cookie: `latchkey_session=${await token()}` } })).status).toBe(401);
  });

  it('never make a user of the identity provider, nor ask for its keys once a token', async () => {
    const [row] = await app.dataSource.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM users WHERE oidc_issuer IS NOT NULL',
    );
    expect(row?.count).toBe(1);
    expect(provider.asked).toBeLessThan(PROVIDERS.length / 2);
  });
});
