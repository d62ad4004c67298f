import { describe, expect, it } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { StartRefusal } from '../common/start-refusal.js';
import { loadConfig } from './config.js';
import { drawSecret, drawSecrets } from './generated-secrets.js';

const DATABASE_URL = 'postgres://keys:Tz8wqLrV2n@db.internal:5432/latchkey';
const PROVIDER = {
  OIDC_ISSUER: 'https://login.internal',
  OIDC_JWKS_URI: 'https://login.internal/jwks',
  OIDC_AUDIENCE: 'latchkey',
};
const GOOD = { NODE_ENV: 'production', PUBLIC_URL: 'https://keys.internal', DATABASE_URL, ...drawSecrets() };

const refusalOf = (variables: Record<string, string>): string => {
  try {
    loadConfig({ ...GOOD, ...variables });
  } catch (error) {
    expect(error).toBeInstanceOf(StartRefusal);
    return (error as Error).message;
  }
  throw new Error(`It was not refused: ${Object.keys(variables).join(', ')}`);
};

describe('with NODE_ENV=production', () => {
  it('good values start', () => {
    const rest = {
      ADMIN_PASSWORD: 'four walls of brick',
      METRICS_TOKEN: drawSecret(),
      OIDC_CLIENT_ID: 'console',
      OIDC_CLIENT_SECRET: drawSecret(),
    };
    expect(loadConfig({ ...GOOD, ...PROVIDER, ...rest }).productionProblems).toEqual([]);
    expect(loadConfig({ ...GOOD, DATABASE_MIGRATION_URL: DATABASE_URL }).databaseUrl).toBe(DATABASE_URL);
  });

  it.each([
    ['ADMIN_PASSWORD', 'changeme-changeme'],
    ['ADMIN_PASSWORD', 'Correct Horse Battery Staple'],
    ['ADMIN_PASSWORD', 'aaaaaaaaaaaa'],
    ['ADMIN_PASSWORD', 'admin@latchkey.local'],
    ['ADMIN_PASSWORD', '<your password>'],
    ['METRICS_TOKEN', 'example-token-0123456789abcdefghij'],
    ['METRICS_TOKEN', 'x'.repeat(32)],
    ['METRICS_TOKEN', 'change_me_change_me_change_me_change'],
    ['AUDIT_KEY', 'placeholder-0123456789-abcdefghijklmn'],
    ['JWT_SECRET', 'ab'.repeat(20)],
  ])('%s is refused by name if it is an example or too simple: %s', (name, value) => {
    const sentence = refusalOf({ [name]: value });
    expect(sentence).toMatch(new RegExp(`^${name} is an example or too simple`));
    expect(sentence).not.toContain(value);
  });

  it.each([
    ['DATABASE_URL', 'postgres://keys:password@db.internal/latchkey'],
    ['DATABASE_URL', 'postgres://postgres:postgres@db.internal/latchkey'],
    ['DATABASE_URL', 'postgres://keys@db.internal/latchkey?password=secret'],
    ['DATABASE_MIGRATION_URL', 'postgres://owner:owner@db.internal/latchkey'],
    ['DATABASE_MIGRATION_URL', 'postgres://owner:zzzzzzzz@db.internal/latchkey'],
  ])('the password in %s is refused if it is an example: %s', (name, url) => {
    expect(refusalOf({ [name]: url })).toBe(
      `the password in ${name} is an example or too simple: give that login another one (NODE_ENV=production).`,
    );
  });

  it('the client secret of the identity provider is refused if it is an example', () => {
    expect(
      refusalOf({ ...PROVIDER, OIDC_CLIENT_ID: 'console', OIDC_CLIENT_SECRET: 'your-client-secret-here' }),
    ).toMatch(/^OIDC_CLIENT_SECRET is an example/);
  });

  const shared = drawSecret();
  const inHex = Buffer.from(shared, 'base64url').toString('hex');
  it.each([
    [
      {
        JWT_SECRET: shared,
        API_KEY_PEPPERS: `1:${shared}`,
        TAG_KEYS: `1:${shared}`,
        RESERVATION_KEY: shared,
        AUDIT_KEY: shared,
      },
      'JWT_SECRET version 1 and API_KEY_PEPPERS version 1',
    ],
    [{ ADMIN_PASSWORD: shared, JWT_SECRET: shared }, 'JWT_SECRET version 1 and ADMIN_PASSWORD'],
    [{ METRICS_TOKEN: shared, ADMIN_PASSWORD: shared }, 'ADMIN_PASSWORD and METRICS_TOKEN'],
    [{ AUDIT_KEY: inHex, JWT_SECRET: shared }, 'JWT_SECRET version 1 and AUDIT_KEY version 1'],
    [
      { ADMIN_PASSWORD: 'Tz8wqLrV2nXk', DATABASE_URL: 'postgres://keys:Tz8wqLrV2nXk@db.internal/latchkey' },
      'ADMIN_PASSWORD and the password in DATABASE_URL',
    ],
  ])('one value for several secrets is refused by their names (%#)', (variables, names) => {
    expect(refusalOf(variables as Record<string, string>)).toBe(`${names} have the same value: draw one of them anew`);
  });

  it.each([
    [{ PUBLIC_URL: 'http://keys.internal' }, 'PUBLIC_URL must be https'],
    [{ PUBLIC_URL: 'http://127.0.0.1.evil.test' }, 'PUBLIC_URL must be https'],
    [{ PUBLIC_URL: '', HOST: '10.0.0.5' }, 'PUBLIC_URL must be https'],
    [{ PUBLIC_URL: '', HOST: '0.0.0.0' }, 'PUBLIC_URL must be given'],
    [{ ...PROVIDER, OIDC_ISSUER: 'http://login.internal' }, 'OIDC_ISSUER must be https'],
    [{ ...PROVIDER, OIDC_JWKS_URI: 'http://login.internal/jwks' }, 'OIDC_JWKS_URI must be https'],
    [{ AUDIT_SYSLOG_URL: 'tcp://logs.internal' }, 'AUDIT_SYSLOG_URL must be tls://'],
    [{ TRACES_URL: 'http://traces.internal/', TRACES_HEADERS: 'a=b' }, 'TRACES_URL must be https'],
  ])('plain http to another machine is refused by name: %j', (variables, sentence) => {
    expect(refusalOf(variables as Record<string, string>)).toMatch(new RegExp(`^${sentence}`));
  });

  it.each([
    'http://localhost:3000',
    'http://127.0.0.1:3000',
    'http://127.9.9.9',
    'http://[::1]:3000',
    'http://keys.localhost',
  ])('plain http to loopback starts: %s', (url) => {
    expect(
      loadConfig({ ...GOOD, ...PROVIDER, PUBLIC_URL: url, OIDC_ISSUER: url, OIDC_JWKS_URI: `${url}/jwks` }).publicUrl,
    ).toBe(url);
  });

  it.each<Record<string, string>>([
    { AUDIT_SYSLOG_URL: 'tcp://127.0.0.1:601' },
    { AUDIT_SYSLOG_URL: 'tls://logs.internal' },
    { TRACES_URL: 'http://traces.internal:4318/v1/traces' },
    { TRACES_URL: 'https://traces.internal/', TRACES_HEADERS: 'authorization=Bearer x' },
  ])('what is encrypted, stays on the machine or holds no secret starts: %j', (variables) => {
    expect(loadConfig({ ...GOOD, ...variables }).productionProblems).toEqual([]);
  });

  it('all that is wrong is named at once', () => {
    const lines = refusalOf({
      ADMIN_PASSWORD: 'aaaaaaaaaaaa',
      METRICS_TOKEN: 'x'.repeat(32),
      PUBLIC_URL: 'http://keys.internal',
    }).split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['ADMIN_PASSWORD', 'METRICS_TOKEN', 'PUBLIC_URL']);
  });
});

it('outside of production the same settings start, and are known', () => {
  const { productionProblems } = loadConfig({
    ...GOOD,
    NODE_ENV: 'development',
    PUBLIC_URL: 'http://keys.internal',
    ADMIN_PASSWORD: 'changeme-changeme',
  });
  expect(productionProblems.map((problem) => problem.split(' ')[0])).toEqual(['ADMIN_PASSWORD', 'PUBLIC_URL']);
});

describe('PUBLIC_URL', () => {
  it.each([
    'https://host.internal/keys',
    'https://host.internal/keys/',
    'https://host.internal/?a=b',
    'https://host.internal/#x',
    'https://user:pass@host.internal',
    'http://localhost:3000/latchkey',
  ])('is refused in every environment if it is more than scheme, host and port: %s', (url) => {
    expect(refusalOf({ NODE_ENV: 'development', PUBLIC_URL: url })).toMatch(
      /^PUBLIC_URL must be scheme, host and port alone.*give it a host name of its own$/,
    );
  });

  it('may end with a slash', () => {
    expect(loadConfig({ ...GOOD, PUBLIC_URL: 'https://keys.internal/' }).publicUrl).toBe('https://keys.internal');
  });
});

/** Pages with values that a reader may copy. */
const root = join(import.meta.dirname, '../..');
const pages = [
  'README.md',
  '.env.example',
  ...['docs', 'docs/gateways'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name)),
  ),
];

it('no value for a secret that our own pages print starts in production', () => {
  const printed = pages.flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const assigned = [
      ...text.matchAll(/\b(ADMIN_PASSWORD|METRICS_TOKEN|OIDC_CLIENT_SECRET)=['"]?([^\s'"`$<…\\]{3,})/g),
    ].map(([, name, value]) => [name!, value!] as const);
    const urls = [
      ...text.matchAll(
        /\b(DATABASE_URL|DATABASE_MIGRATION_URL)=['"]?(postgres:\/\/[^\s'"`:@/]+:[^\s'"`@]+@[^\s'"`]+)/g,
      ),
    ].map(([, name, value]) => [name!, value!] as const);
    return [...assigned, ...urls];
  });
  expect(printed.map(([name]) => name)).toEqual(expect.arrayContaining(['DATABASE_URL', 'DATABASE_MIGRATION_URL']));
  for (const [name, value] of printed)
    expect([name, value, refusalOf({ [name]: value })]).toEqual([
      name,
      value,
      expect.stringMatching(/is an example or too simple|must have at least/),
    ]);
});
