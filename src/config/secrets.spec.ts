import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartRefusal } from '../common/start-refusal.js';
import { type Config, loadConfig } from './config.js';
import { FILE_TWINS } from './file-twins.js';
import { SECRET_NAMES, drawSecrets } from './generated-secrets.js';
import { changeSecret, writeSecretFiles } from './secret-files.js';
import { decodedBytes, parseVersionedSecrets } from './versioned-secrets.js';

const draw = () => randomBytes(32).toString('base64url');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'latchkey-secrets-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const refusalOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(StartRefusal);
    return (error as Error).message;
  }
  throw new Error('It was not refused.');
};

describe('a variable that holds secrets', () => {
  const [one, two] = [draw(), draw()];
  const odd = 'a plain value, with commas: and colons 123';

  it.each([
    [one, [{ version: '1', secret: one }]],
    [odd, [{ version: '1', secret: odd }]],
    [`1:${one}`, [{ version: '1', secret: one }]],
    [
      `2026a:${one}, 1:${two}`,
      [
        { version: '2026a', secret: one },
        { version: '1', secret: two },
      ],
    ],
    [`1:a:${one}`, [{ version: '1', secret: `a:${one}` }]],
    ['short', null],
    [`1:${one},2:short`, null],
    [`${one},2:${two}`, null],
    [`:${one}:`, [{ version: '1', secret: `:${one}:` }]],
  ])('%s is read as %j', (text, entries) => {
    expect(parseVersionedSecrets(text)).toEqual(entries);
  });

  it.each(SECRET_NAMES)('%s takes one value or a list, and keeps the key of a plain value', (name) => {
    const keyOf = (value: string) => loadConfig({ ...drawSecrets(), [name]: value }).secrets[name];
    expect(keyOf(one)).toEqual([expect.objectContaining({ version: '1' })]);
    expect(keyOf(`2:${two},1:${one}`)).toEqual([...keyOf(`2:${two}`), ...keyOf(one)]);
    expect(refusalOf(() => keyOf(`1:${one},1:${two}`))).toBe(`${name} must not name a version twice`);
    expect(refusalOf(() => keyOf(`1:${one},2:short`))).toMatch(
      new RegExp(`^${name} must be one secret .* or a comma-separated list`),
    );
  });

  it.each([
    ['a'.repeat(32), 16],
    [randomBytes(32).toString('hex'), 32],
    [randomBytes(32).toString('base64'), 32],
    [one, 32],
    ['correct horse battery staple é', 31],
  ])('%s holds %i bytes', (secret, bytes) => {
    expect(decodedBytes(secret)).toBe(bytes);
  });

  it('must not have the value of another', () => {
    const secrets = drawSecrets();
    const load = (changes: Record<string, string>) => () => loadConfig({ ...secrets, ...changes });
    expect(refusalOf(load({ TAG_KEYS: `7:${secrets.AUDIT_KEY}` }))).toBe(
      'TAG_KEYS version 7 and AUDIT_KEY version 1 have the same value: draw one of them anew',
    );
    expect(refusalOf(load({ JWT_SECRET: `1:${one},2:${one}` }))).toContain(
      'JWT_SECRET version 1 and JWT_SECRET version 2',
    );
    expect(refusalOf(load({ METRICS_TOKEN: secrets.JWT_SECRET }))).toContain('JWT_SECRET version 1 and METRICS_TOKEN');
  });
});

describe('a variable with a file', () => {
  const file = (text: string, name = 'secret') => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const of: Record<(typeof FILE_TWINS)[number], [value: string, read: (config: Config) => unknown]> = {
    JWT_SECRET: [draw(), (config) => config.jwtSecrets[0]!.key.toString()],
    API_KEY_PEPPERS: [`3:${draw()}`, (config) => config.peppers[0]],
    TAG_KEYS: [`3:${draw()}`, (config) => config.tagKeys[0]],
    RESERVATION_KEY: [`3:${draw()}`, (config) => config.reservationKeys[0]],
    AUDIT_KEY: [`3:${draw()}`, (config) => config.auditKeys[0]],
    ADMIN_PASSWORD: ['a password for tests', (config) => config.adminPassword],
    OIDC_CLIENT_SECRET: ['client-secret', (config) => config.oidc?.client?.secret],
    METRICS_TOKEN: [draw(), (config) => config.metricsToken],
    TRACES_HEADERS: [`authorization=Bearer ${draw()}`, (config) => config.traces?.headers],
    DATABASE_URL: ['postgres://a:b@localhost/c', (config) => config.databaseUrl],
    DATABASE_MIGRATION_URL: ['postgres://d:e@localhost/f', (config) => config.databaseMigrationUrl],
  };
  const base = {
    ...drawSecrets(),
    OIDC_ISSUER: 'https://login.example.com',
    OIDC_JWKS_URI: 'https://login.example.com/jwks',
    OIDC_AUDIENCE: 'latchkey',
    OIDC_CLIENT_ID: 'console',
    TRACES_URL: 'http://localhost:4318/v1/traces',
  };
  const without = (name: string) => Object.fromEntries(Object.entries(base).filter(([other]) => other !== name));

  it.each(FILE_TWINS.flatMap((name) => ['', '\n', '\r\n'].map((end) => [name, end] as const)))(
    '%s is what its file holds, up to %j',
    (name, end) => {
      const [value, read] = of[name];
      expect(read(loadConfig({ ...without(name), [`${name}_FILE`]: file(value + end) }))).toEqual(
        read(loadConfig({ ...without(name), [name]: value })),
      );
    },
  );

  it('cuts one newline and no more', () => {
    expect(loadConfig({ ...base, ADMIN_PASSWORD_FILE: file(' a password for tests \n\n') }).adminPassword).toBe(
      ' a password for tests \n',
    );
  });

  it.each(FILE_TWINS)('%s is refused if both are given, without its value', (name) => {
    const [value] = of[name];
    expect(refusalOf(() => loadConfig({ ...base, [name]: value, [`${name}_FILE`]: file(value) }))).toBe(
      `${name} and ${name}_FILE are both set: remove one of them`,
    );
  });

  it('is refused in a sentence if the file is absent, a directory or empty', () => {
    const load = (path: string) => () => loadConfig({ ...base, METRICS_TOKEN_FILE: path });
    expect(refusalOf(load(join(directory, 'absent')))).toBe(
      'METRICS_TOKEN_FILE cannot be read (ENOENT): check its path and permissions',
    );
    expect(refusalOf(load(directory))).toBe(
      'METRICS_TOKEN_FILE cannot be read (EISDIR): check its path and permissions',
    );
    expect(refusalOf(load(file('\n')))).toBe('METRICS_TOKEN_FILE names an empty file: write the value into it');
    expect(refusalOf(() => loadConfig({ ...base, AUDIT_KEY: '', AUDIT_KEY_FILE: file('short') }))).toMatch(
      /^AUDIT_KEY must be one secret/,
    );
  });
});

describe('an embedded installation', () => {
  const load = () => loadConfig({ DATA_DIR: directory });

  it('draws its secrets once', () => {
    const first = load().secrets;
    expect(load().secrets).toEqual(first);
    expect(statSync(join(directory, 'secrets.json')).mode & 0o777).toBe(0o600);
  });

  it.each(['postgres', 'postgres-location.json'])('draws none beside a database (%s), and says what to do', (entry) => {
    mkdirSync(join(directory, entry));
    expect(refusalOf(load)).toMatch(
      /secrets\.json is missing, and the database beside it was made with the secrets in it \(JWT_SECRET, .*AUDIT_KEY\)\. Put that file back/,
    );
    expect(readdirSync(directory)).toEqual([entry]);
    expect(loadConfig({ DATA_DIR: directory, ...drawSecrets() }).auditKeys).toHaveLength(1);
  });

  it('names alone what is not given otherwise', () => {
    mkdirSync(join(directory, 'postgres'));
    const { AUDIT_KEY: _, ...others } = drawSecrets();
    expect(refusalOf(() => loadConfig({ DATA_DIR: directory, ...others }))).toContain('(AUDIT_KEY)');
  });

  it('draws none for commands that only read', () => {
    expect(refusalOf(() => loadConfig({ DATA_DIR: join(directory, 'none') }, 'refuse'))).toMatch(
      `There is no database in ${join(directory, 'none')}: set DATA_DIR to where it is, or DATABASE_URL.`,
    );
    expect(existsSync(join(directory, 'none'))).toBe(false);
  });

  it.each([
    ['{"JWT_SEC', 'cannot be read (it is not JSON)'],
    ['null', 'has no valid JWT_SECRET, API_KEY_PEPPERS'],
    [JSON.stringify({ ...drawSecrets(), AUDIT_KEY: 7 }), 'has no valid AUDIT_KEY: put it back from a copy'],
  ])('refuses a file that is damaged: %s', (text, message) => {
    writeFileSync(join(directory, 'secrets.json'), text);
    expect(refusalOf(load)).toContain(message);
  });
});

describe('npm run secrets', () => {
  const environmentOf = (lines: string[]) =>
    Object.fromEntries(lines.map((line) => line.split('=') as [string, string]));
  const versionsOf = (environment: Record<string, string>) =>
    loadConfig(environment).jwtSecrets.map(({ version }) => version);

  it('writes a set that a server takes, for its owner alone, and never twice', () => {
    const place = join(directory, 'new');
    const lines = writeSecretFiles(place);
    expect(lines).toEqual(SECRET_NAMES.map((name) => `${name}_FILE=${join(place, name)}`));
    expect(loadConfig({ NODE_ENV: 'production', ...environmentOf(lines) }).auditKeys[0]!.strengthBytes).toBe(32);
    expect(statSync(place).mode & 0o777).toBe(0o700);
    for (const name of SECRET_NAMES) expect(statSync(join(place, name)).mode & 0o777).toBe(0o600);
    rmSync(join(place, 'AUDIT_KEY'));
    expect(refusalOf(() => writeSecretFiles(place))).toContain('already there, and nothing is overwritten');
    expect(existsSync(join(place, 'AUDIT_KEY'))).toBe(false);
  });

  it('makes the steps of a change, one after the other', () => {
    const environment = environmentOf(writeSecretFiles(directory));
    const [old] = loadConfig(environment).jwtSecrets;
    expect(changeSecret(directory, 'JWT_SECRET', 'add')).toContain('JWT_SECRET version 1 signs, and 2 verify.');
    expect(loadConfig(environment).jwtSecrets[0]).toEqual(old);
    expect(changeSecret(directory, 'JWT_SECRET', 'use')).toContain('JWT_SECRET version 2 signs, and 1 verify.');
    expect(versionsOf(environment)).toEqual(['2', '1']);
    expect(refusalOf(() => changeSecret(directory, 'JWT_SECRET', 'use'))).toContain('--add a version first');
    expect(changeSecret(directory, 'JWT_SECRET', 'retire')).toContain('JWT_SECRET version 2 signs. ');
    expect(versionsOf(environment)).toEqual(['2']);
    expect(refusalOf(() => changeSecret(directory, 'JWT_SECRET', 'retire'))).toContain('there is none to retire');
    expect(statSync(join(directory, 'JWT_SECRET')).mode & 0o777).toBe(0o600);
  });

  it('keeps every version of AUDIT_KEY', () => {
    writeSecretFiles(directory);
    changeSecret(directory, 'AUDIT_KEY', 'add');
    const before = readFileSync(join(directory, 'AUDIT_KEY'), 'utf8');
    expect(refusalOf(() => changeSecret(directory, 'AUDIT_KEY', 'retire'))).toContain(
      'AUDIT_KEY keeps its old versions',
    );
    expect(readFileSync(join(directory, 'AUDIT_KEY'), 'utf8')).toBe(before);
  });

  it('changes the file of an embedded installation as well', () => {
    const before = loadConfig({ DATA_DIR: directory });
    changeSecret(directory, 'API_KEY_PEPPERS', 'add');
    const after = loadConfig({ DATA_DIR: directory });
    expect(after.peppers).toEqual([...before.peppers, expect.objectContaining({ version: '2' })]);
    expect(after.auditKeys).toEqual(before.auditKeys);
  });
});
