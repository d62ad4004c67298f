import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { secretFilesForAll, secretsInEnvironment } from '../../../src/config/file-twins.js';
import {
  PRODUCTION_POINTS,
  describePoint,
  examineProduction,
  type Point,
} from '../../../src/health/production-checklist.js';
import { dataSource } from '../../../src/database/data-source.js';
import { allowArchiving, allowSealing } from '../../support/allow-sealing.js';
import { TestApp, testConfig } from '../../support/app.js';
import { createTestDirectory } from '../../support/postgres.js';
import { asOwner } from '../../support/trail.js';

/** As a server of a careful operator has them. */
const FIT = {
  NODE_ENV: 'production',
  PUBLIC_URL: 'https://keys.example.com',
  DATABASE_URL: 'postgres://latchkey_app@db.example.com/latchkey?sslmode=verify-full',
  TRUSTED_PROXIES: '10.0.7.4',
  AUDIT_SYSLOG_URL: 'tls://logs.example.com',
  AUDIT_CHECKPOINT_FILE: '/var/lib/latchkey-checkpoints/checkpoints',
  MFA_REQUIRED: 'admins',
  METRICS_TOKEN: 'vq8Zr2LxN4wKd7Ty1Bh6Jm3Pc9Sf5GaE',
  LOG_LEVEL: 'info',
} as const;
const SECRETS_IN_FILES = { secretsInEnvironment: [], openSecretFiles: [] } as const;

describe('The production checklist', () => {
  let app: TestApp;

  beforeAll(async () => {
    app = await TestApp.start();
    // Writes one, and then no more.
    await app.app.get(Checkpoints).close();
  });
  afterAll(() => app.stop());

  const examine = (overrides: Record<string, string> = {}, secrets: readonly string[] = []) =>
    examineProduction({
      config: testConfig({ ...FIT, ...overrides }),
      dataSource: app.dataSource,
      ...SECRETS_IN_FILES,
      secretsInEnvironment: secrets,
    });
  const of = (points: readonly Point[], name: string) => points.find(({ point }) => point === name)!;

  it('has the points of the page, in its order', async () => {
    const page = await readFile(join(import.meta.dirname, '../../../docs/production-checklist.md'), 'utf8');
    const rows = [...page.matchAll(/^\| ([^|]+?) \| [^|]+ \| \[/gm)].map(([, point]) => point);
    expect(rows).toEqual(PRODUCTION_POINTS.map(([point]) => point));
  });

  it('finds the settings of a careful operator in order, and says what the database lacks', async () => {
    const points = await examine();
    const todo = points.filter(({ state }) => state === 'DO').map(({ point }) => point);
    // One replica on a test database, which has no standby, no durability and nobody with a second factor.
    expect(todo).toEqual([
      'PostgreSQL keeps what it has acknowledged',
      'A synchronous standby follows',
      'Two replicas run',
      'Administrators have a second factor',
    ]);
    expect(points.filter(({ state }) => state === 'LOOK').map(({ point }) => point)).toEqual([
      'Backups are taken',
      'Old entries and events have an end',
      'Alerts reach a person',
    ]);
    expect(of(points, 'PostgreSQL keeps what it has acknowledged').action).toContain('fsync=off');
    expect(of(points, 'Administrators have a second factor').action).toContain('admin@latchkey.test');
  });

  it.each([
    ['NODE_ENV is production', { NODE_ENV: 'development' }, 'NODE_ENV=production'],
    ['PUBLIC_URL is https', { PUBLIC_URL: 'http://keys.example.com' }, 'PUBLIC_URL'],
    ['Settings are fit for production', { METRICS_TOKEN: 'a'.repeat(32) }, 'METRICS_TOKEN'],
    ['TRUSTED_PROXIES names the proxies', { TRUSTED_PROXIES: '' }, 'TRUSTED_PROXIES'],
    ['No temporary password is left', { ADMIN_PASSWORD: 'correct horse battery staple' }, 'Remove ADMIN_PASSWORD'],
    ['Administrators have a second factor', { MFA_REQUIRED: 'none' }, 'MFA_REQUIRED=admins'],
    ['The log says what happens', { LOG_LEVEL: 'debug' }, 'LOG_LEVEL is debug'],
  ])('says what to do where not: %s', async (name, overrides: Record<string, string>, action) => {
    expect(of(await examine(overrides), name)).toEqual({
      point: name,
      state: 'DO',
      action: expect.stringContaining(action),
    });
    const line = describePoint(of(await examine(overrides), name));
    expect(line).toMatch(new RegExp(`^DO {4}${name}\\n {6}\\S`));
  });

  it('knows what is absent', async () => {
    const { DATABASE_URL: _, AUDIT_CHECKPOINT_FILE: __, METRICS_TOKEN: ___, ...rest } = FIT;
    const config = testConfig(rest);
    const points = await examineProduction({ config, dataSource: app.dataSource, ...SECRETS_IN_FILES });
    for (const name of [
      'PostgreSQL is your own',
      'Checkpoints of the audit trail leave the database',
      'Metrics can be scraped',
    ])
      expect([name, of(points, name).state]).toEqual([name, 'DO']);
    expect(of(points, 'Backups are taken').action).toContain('npm run backup');
  });

  it('asks for a copy of the trail elsewhere, and says when its receiver does not get it', async () => {
    const name = 'A copy of the audit trail is kept elsewhere';
    const { AUDIT_SYSLOG_URL: _, ...rest } = FIT;
    const examineWithout = (overrides: Record<string, string>) =>
      examineProduction({
        config: testConfig({ ...rest, ...overrides }),
        dataSource: app.dataSource,
        ...SECRETS_IN_FILES,
      });
    expect(of(await examineWithout({}), name).state).toBe('LOOK');
    await app.dataSource.query(`INSERT INTO audit_syslog VALUES ('logs.example.com:6514', 1000000, 0)`);
    expect(of(await examine(), name)).toMatchObject({ state: 'DO', action: expect.stringContaining('ends before') });
    await app.dataSource.query('DELETE FROM audit_syslog');
    expect(of(await examine(), name).state).toBe('ok');
  });

  it('examines the file of AUDIT_COPY_FILE, and not that it is set alone', async () => {
    const name = 'A copy of the audit trail is kept elsewhere';
    const { AUDIT_SYSLOG_URL: _, ...rest } = FIT;
    const file = join(await createTestDirectory(), 'copy.ndjson');
    const examined = async () =>
      of(
        await examineProduction({
          config: testConfig({ ...rest, AUDIT_COPY_FILE: file }),
          dataSource: app.dataSource,
          ...SECRETS_IN_FILES,
        }),
        name,
      );
    expect(await examined()).toMatchObject({ state: 'DO', action: expect.stringContaining('AUDIT_COPY_FILE lacks') });
    const token = await app.adminToken();
    const text = String((await app.get('/audit-events/export', { token })).body);
    await writeFile(file, text);
    expect(await examined()).toMatchObject({ state: 'ok' });
    // Of another history: what has the same number is another entry.
    await writeFile(file, text.replaceAll(/"hash":"[0-9a-f]{8}/g, '"hash":"00000000'));
    expect(await examined()).toMatchObject({ state: 'DO', action: expect.stringContaining('is another one there') });
    await writeFile(file, text.replaceAll(/"seq":"\d+"/g, '"seq":"999999"'));
    expect(await examined()).toMatchObject({ state: 'DO', action: expect.stringContaining('ends before') });
    await mkdir(`${file}.position`);
    expect(await examined()).toMatchObject({ state: 'DO', action: expect.stringContaining('cannot be read') });
  });

  it('examines the file beside a receiver of syslog as well', async () => {
    const AUDIT_COPY_FILE = join(await createTestDirectory(), 'copy.ndjson');
    expect(of(await examine({ AUDIT_COPY_FILE }), 'A copy of the audit trail is kept elsewhere')).toMatchObject({
      state: 'DO',
      action: expect.stringMatching(/^Entries that AUDIT_COPY_FILE lacks/),
    });
  });

  it('finds secret files that every account of the machine can read', async () => {
    const directory = await createTestDirectory();
    const file = join(directory, 'AUDIT_KEY');
    await writeFile(file, 'x');
    await chmod(directory, 0o755);
    const open = async (mode: number) => {
      await chmod(file, mode);
      return secretFilesForAll({ AUDIT_KEY_FILE: file, PORT: '1' });
    };
    expect([await open(0o640), await open(0o644)]).toEqual([[], ['AUDIT_KEY_FILE']]);
    await chmod(directory, 0o750);
    expect(await open(0o644)).toEqual([]);
    const points = await examineProduction({
      config: testConfig(FIT),
      dataSource: app.dataSource,
      secretsInEnvironment: [],
      openSecretFiles: ['AUDIT_KEY_FILE'],
    });
    expect(of(points, 'Secrets come from files')).toMatchObject({
      state: 'DO',
      action: expect.stringContaining('AUDIT_KEY_FILE'),
    });
  });

  it('names secrets that were not changed for a year', async () => {
    const name = 'Secrets are changed';
    expect(of(await examine(), name).state).toBe('ok');
    const age = (variable: string, months: number, version: string) =>
      asOwner(app.database, (client) =>
        client.query(
          `INSERT INTO secret_fingerprint VALUES ($1, $3, '\\x0011223344556677', clock_timestamp() - make_interval(months => $2))`,
          [variable, months, version],
        ),
      );
    await age('AN_OLD_ONE', 13, '1');
    await age('A_CHANGED_ONE', 13, '1');
    await age('A_CHANGED_ONE', 2, '2');
    const found = of(await examine(), name);
    expect(found).toMatchObject({ state: 'LOOK', action: expect.stringContaining('months: AN_OLD_ONE.') });
  });

  it('compares the clock of this machine with that of the database', async () => {
    const now = Date.now;
    for (const [byMs, state] of [
      [-5_000, 'DO'],
      [5_000, 'DO'],
      [0, 'ok'],
    ] as const) {
      const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + byMs);
      expect([byMs, of(await examine(), 'Clocks agree').state]).toEqual([byMs, state]);
      clock.mockRestore();
    }
  });

  it('asks whether old entries and events may stay for ever', async () => {
    const name = 'Old entries and events have an end';
    expect(of(await examine(), name).action).toContain('Not set: AUDIT_KEEP_MONTHS, USAGE_EVENTS_KEEP_MONTHS.');
    const both = {
      ...{ AUDIT_KEEP_MONTHS: '24', AUDIT_ARCHIVE_DIR: '/srv/latchkey/audit' },
      ...{ USAGE_EVENTS_KEEP_MONTHS: '13', USAGE_ARCHIVE_DIR: '/srv/latchkey/usage' },
    };
    expect(of(await examine(both), name).state).toBe('ok');
  });

  it('names secrets that are in the environment, and not those in files', async () => {
    expect(secretsInEnvironment({ AUDIT_KEY: 'x', JWT_SECRET_FILE: '/run/secrets/JWT_SECRET', PORT: '1' })).toEqual([
      'AUDIT_KEY',
    ]);
    expect(of(await examine({}, ['AUDIT_KEY']), 'Secrets come from files').action).toContain('set AUDIT_KEY_FILE');
    expect(of(await examine(), 'Secrets come from files').state).toBe('ok');
  });

  it('counts replicas that run, and no one whose last heartbeat is old', async () => {
    await app.dataSource.query(
      `INSERT INTO replica (id, applied_seq, seen_at) VALUES (gen_random_uuid(), 0, clock_timestamp() - interval '1 hour')`,
    );
    expect(of(await examine(), 'Two replicas run').action).toContain('Replicas that run: 1.');
    await app.dataSource.query(
      `INSERT INTO replica (id, applied_seq, seen_at) VALUES (gen_random_uuid(), 0, clock_timestamp() + interval '1 minute')`,
    );
    expect(of(await examine(), 'Two replicas run').state).toBe('ok');
  });

  it('names who has a password that another person chose', async () => {
    await app.dataSource.query(`UPDATE users SET password_is_temporary = true WHERE email = 'admin@latchkey.test'`);
    expect(of(await examine(), 'No temporary password is left').action).toContain('admin@latchkey.test');
    await app.dataSource.query('UPDATE users SET password_is_temporary = false');
    expect(of(await examine(), 'No temporary password is left').state).toBe('ok');
  });

  it('asks for a backup of archived usage, once there is some', async () => {
    const name = 'Archived usage events are backed up';
    expect(of(await examine(), name).state).toBe('ok');
    await asOwner(app.database, (client) =>
      client.query(
        `INSERT INTO usage_archive (month, file, sha256, events) VALUES ('2026-01-01', 'usage-events-2026-01.ndjson.gz', decode(repeat('00', 32), 'hex'), 1)`,
      ),
    );
    expect(of(await examine(), name)).toMatchObject({
      state: 'DO',
      action: expect.stringContaining('Set USAGE_ARCHIVE_DIR'),
    });
    expect(of(await examine({ USAGE_ARCHIVE_DIR: '/srv/latchkey/usage' }), name)).toMatchObject({
      state: 'LOOK',
      action: expect.stringContaining('up to 2026-01'),
    });
  });

  it.each([
    ['Sealed segments of the audit trail are backed up', 'AUDIT_KEEP_MONTHS', 'AUDIT_ARCHIVE_DIR', allowSealing],
    ['Archived usage events are backed up', 'USAGE_EVENTS_KEEP_MONTHS', 'USAGE_ARCHIVE_DIR', allowArchiving],
  ] as const)(
    '%s: names settings that the owner of the schema does not know',
    async (name, months, directory, allow) => {
      const settings = { [months]: '12', [directory]: '/srv/latchkey' };
      const refused = { state: 'DO', action: expect.stringContaining('migrate again') };
      expect(of(await examine(settings), name)).toMatchObject(refused);
      await allow(app.database, 12);
      expect(of(await examine(settings), name)).not.toMatchObject(refused);
      await allow(app.database, null);
    },
  );

  it('finds a server that owns its tables', async () => {
    expect(of(await examine(), 'Servers do not own the tables').state).toBe('ok');
    // A pool that has become the role all the same has the login of the owner.
    for (const role of [{}, { role: 'latchkey_app' }]) {
      const owner = await dataSource(app.database.ownerUrl, { max: 1, ...role }).initialize();
      try {
        const asked = { config: testConfig(FIT), dataSource: owner, ...SECRETS_IN_FILES };
        const points = await examineProduction(asked);
        expect([role, of(points, 'Servers do not own the tables').state]).toEqual([role, 'DO']);
      } finally {
        await owner.destroy();
      }
    }
  });

  it('finds checkpoints that are not written', async () => {
    const name = 'Checkpoints of the audit trail leave the database';
    await asOwner(app.database, async (client) => {
      await client.query('ALTER TABLE audit_checkpoint DISABLE TRIGGER ALL');
      await client.query('DELETE FROM audit_checkpoint');
      await client.query(
        `INSERT INTO audit_checkpoint SELECT 1, hash, clock_timestamp() - interval '1 hour', '' FROM audit_event WHERE seq = 1`,
      );
    });
    expect(of(await examine(), name).action).toContain('No checkpoint was written');
  });

  // The last ones: they leave a trail that no server would have.
  it('finds copies that stand still, however little they lack, and those that would get a gap', async () => {
    const name = 'A copy of the audit trail is kept elsewhere';
    const token = await app.adminToken();
    const text = String((await app.get('/audit-events/export', { token })).body);
    const file = join(await createTestDirectory(), 'copy.ndjson');
    await writeFile(file, text.slice(0, text.indexOf('"seq":"3"')));
    const examined = async () => of(await examine({ AUDIT_COPY_FILE: file }), name);
    expect(await examined()).toMatchObject({ state: 'ok' });
    await asOwner(app.database, async (client) => {
      await client.query('ALTER TABLE audit_event DISABLE TRIGGER ALL');
      await client.query(`UPDATE audit_event SET at = at - interval '6 minutes' WHERE seq <= 3`);
    });
    expect(await examined()).toMatchObject({
      state: 'DO',
      action: expect.stringMatching(/receiver of AUDIT_SYSLOG_URL lacks: \d+\..* AUDIT_COPY_FILE lacks: \d+\./),
    });
    await app.dataSource.query(`INSERT INTO audit_syslog VALUES ('logs.example.com:6514', 2, 0)`);
    await asOwner(app.database, async (client) => {
      await client.query('ALTER TABLE audit_segment DISABLE TRIGGER ALL');
      await client.query(
        `INSERT INTO audit_segment SELECT 1, 3, hash, hash, '{}', now() FROM audit_event WHERE seq = 3`,
      );
    });
    expect(await examined()).toMatchObject({
      state: 'DO',
      action: expect.stringMatching(
        /AUDIT_SYSLOG_URL lacks was sealed since entry 2\..*AUDIT_COPY_FILE lacks was sealed/,
      ),
    });
  });
});
