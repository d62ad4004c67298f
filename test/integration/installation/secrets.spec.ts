import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { StartRefusal } from '../../../src/common/start-refusal.js';
import type { Config } from '../../../src/config/config.js';
import { SECRET_NAMES, drawSecrets } from '../../../src/config/generated-secrets.js';
import { dataSource } from '../../../src/database/data-source.js';
import { describe as lineOf, examine } from '../../../src/health/doctor.js';
import { acceptSecrets } from '../../../src/installation/accept-secrets.js';
import { checkSecrets } from '../../../src/installation/secret-check.js';
import { testConfig } from '../../support/app.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const draw = () => randomBytes(32).toString('base64url');

describe('Secrets of a database', () => {
  let database: TestDatabase;
  let pool: DataSource;
  let secrets: ReturnType<typeof drawSecrets>;

  beforeEach(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 4 }).initialize();
    secrets = drawSecrets();
  });
  afterEach(async () => {
    await pool.destroy();
    await database.drop();
  });

  const configOf = (changes: Partial<typeof secrets> = {}) => testConfig({ ...secrets, ...changes });
  const accept = (config: Config) => acceptSecrets(pool, config);
  const refusalOf = async (config: Config): Promise<string> => {
    const before = await written();
    const error = await accept(config).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(StartRefusal);
    expect(await written()).toEqual(before);
    return (error as Error).message;
  };
  const written = () =>
    pool.query(
      'SELECT (SELECT seq FROM change_head) AS seq, (SELECT count(*) FROM secret_fingerprint) AS fingerprints',
    );
  const change = (config: Config) =>
    new Changes(pool, config).transaction(systemCaller('test:write'), async ({ record }) =>
      record({ resourceType: 'test', resourceId: null }),
    );
  const addSecret = async (fields: { pepper?: string; tag?: string | null }) => {
    await pool.query(
      `INSERT INTO users (id, name, kind) VALUES ('019a8b5e-0000-7000-8000-000000000001', 'x', 'service') ON CONFLICT DO NOTHING`,
    );
    await pool.query(
      `INSERT INTO api_key (id, owner_id, name, environment) VALUES ('019a8b5e-0000-7000-8000-000000000002', '019a8b5e-0000-7000-8000-000000000001', 'x', 'live') ON CONFLICT DO NOTHING`,
    );
    await pool.query(
      `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version, tag_version) VALUES ($1, '019a8b5e-0000-7000-8000-000000000002', 'own', 'x', $2, $3, $4)`,
      [
        randomBytes(7).toString('hex'),
        randomBytes(32),
        fields.pepper ?? '1',
        fields.tag === undefined ? '1' : fields.tag,
      ],
    );
  };

  it('are recorded at the first start, told, and in the audit trail, by name alone', async () => {
    const [line] = await accept(configOf());
    expect(line).toBe(
      'Secrets seen for the first time: JWT_SECRET version 1, API_KEY_PEPPERS version 1, TAG_KEYS version 1, RESERVATION_KEY version 1, AUDIT_KEY version 1.',
    );
    const events = await pool.query<{ resource_id: string; actor_kind: string; body: string }[]>(
      `SELECT resource_id, actor_kind, body FROM audit_event WHERE action = 'secrets:record' ORDER BY seq`,
    );
    expect(events.map(({ resource_id, actor_kind }) => [resource_id, actor_kind])).toEqual(
      SECRET_NAMES.map((name) => [`${name}.1`, 'system']),
    );
    const rows = JSON.stringify([events, await pool.query('SELECT variable, version FROM secret_fingerprint')]);
    for (const secret of Object.values(secrets)) expect(rows).not.toContain(secret.replace(/^1:/, ''));
  });

  it('are told nothing about at the next start', async () => {
    await accept(configOf());
    const before = await written();
    expect(await accept(configOf())).toEqual([]);
    expect(await written()).toEqual(before);
  });

  it.each(SECRET_NAMES)('refuse another value of %s, by name, and nothing is written', async (name) => {
    await accept(configOf());
    const other = draw();
    const message = await refusalOf(configOf({ [name]: other }));
    expect(message).toContain(`${name} version 1 has another value than the one recorded`);
    expect(message).not.toContain(other);
    for (const others of SECRET_NAMES.filter((one) => one !== name)) expect(message).not.toContain(others);
  });

  it('refuse another set, naming all five', async () => {
    await accept(configOf());
    const message = await refusalOf(testConfig(drawSecrets()));
    for (const name of SECRET_NAMES) expect(message).toContain(`${name} version 1`);
  });

  it('are one set, whatever starts at once', async () => {
    const [first, second] = [configOf(), testConfig(drawSecrets())];
    const outcomes = await Promise.allSettled([accept(first), accept(second), accept(first), accept(second)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected']);
    expect(await pool.query('SELECT 1 FROM secret_fingerprint')).toHaveLength(5);
    const isFirst = outcomes[0].status === 'fulfilled' || outcomes[2].status === 'fulfilled';
    expect(await accept(isFirst ? first : second)).toEqual([]);
    await refusalOf(isFirst ? second : first);
  });

  it('take the same value as plain text and under version 1', async () => {
    await accept(configOf());
    expect(
      await accept(
        configOf({ AUDIT_KEY: `1:${secrets.AUDIT_KEY}`, API_KEY_PEPPERS: secrets.API_KEY_PEPPERS.slice(2) }),
      ),
    ).toEqual([]);
  });

  describe('without fingerprints, as an older build leaves it', () => {
    it('are recorded if AUDIT_KEY has made the newest entry', async () => {
      await change(configOf());
      await change(configOf());
      expect((await accept(configOf()))[0]).toContain('AUDIT_KEY version 1.');
    });

    it('refuse another AUDIT_KEY before anything is written', async () => {
      await change(configOf());
      expect(await refusalOf(configOf({ AUDIT_KEY: draw() }))).toContain(
        'This database was made with another AUDIT_KEY',
      );
    });

    it('may be weak, and are complained of', async () => {
      const weak = { JWT_SECRET: 'jwt-0123456789abcdefghijklmnopqrstuv' };
      await change(configOf(weak));
      expect(await accept(configOf(weak))).toContainEqual(
        expect.stringMatching(/^Fewer than 32 bytes: JWT_SECRET version 1 \(27\)\. /),
      );
    });
  });

  it('must hold 32 bytes in a new installation', async () => {
    expect(await refusalOf(configOf({ JWT_SECRET: 'jwt-0123456789abcdefghijklmnopqrstuv' }))).toMatch(
      /^JWT_SECRET version 1 holds 27 bytes/,
    );
    expect(await refusalOf(configOf({ JWT_SECRET: randomBytes(16).toString('hex') }))).toMatch(
      /^JWT_SECRET version 1 holds 16 bytes/,
    );
    await accept(configOf({ JWT_SECRET: randomBytes(32).toString('hex') }));
  });

  describe('of several versions', () => {
    const second = (name: keyof typeof secrets) => `1:${secrets[name].replace(/^1:/, '')},2:${draw()}`;

    it('are recorded one by one', async () => {
      await accept(configOf());
      expect(await accept(configOf({ JWT_SECRET: second('JWT_SECRET') }))).toEqual([
        'Secrets seen for the first time: JWT_SECRET version 2.',
      ]);
    });

    it('are not put first while other replicas run that cannot know them', async () => {
      await accept(configOf());
      await pool.query(`INSERT INTO replica (id, applied_seq) VALUES (gen_random_uuid(), 0)`);
      const both = second('API_KEY_PEPPERS');
      const swapped = both.split(',').reverse().join(',');
      expect(await refusalOf(configOf({ API_KEY_PEPPERS: swapped }))).toContain(
        'API_KEY_PEPPERS version 2 is new, and other replicas run without it',
      );
      await accept(configOf({ API_KEY_PEPPERS: both }));
      expect(await accept(configOf({ API_KEY_PEPPERS: swapped }))).toEqual([]);
    });

    it.each([
      ['API_KEY_PEPPERS', { pepper: '1' }],
      ['TAG_KEYS', { tag: '1' }],
      ['TAG_KEYS', { tag: null }],
    ] as const)('%s is kept while a secret needs it: %j', async (name, fields) => {
      const both = second(name);
      await accept(configOf());
      await accept(configOf({ [name]: both }));
      await addSecret({ pepper: '2', tag: '2', ...(name === 'TAG_KEYS' ? { pepper: '1' } : { tag: '1' }), ...fields });
      const onlyNew = configOf({ [name]: both.split(',')[1]! });
      expect(await refusalOf(onlyNew)).toMatch(
        new RegExp(`^${name} has no version 1, which is needed by 1 secret of a key`),
      );
      await pool.query('UPDATE api_key_secret SET revoked_at = now()');
      expect(await accept(onlyNew)).toEqual([]);
      expect((await checkSecrets(onlyNew, pool.manager)).notes).toEqual([`${name} version 1 is no longer configured.`]);
    });

    it('RESERVATION_KEY is kept while reservations may be open that only it can have signed', async () => {
      const both = second('RESERVATION_KEY');
      await accept(configOf());
      const lease = (secondsLeft: number) =>
        pool.query(
          `INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
           VALUES (gen_random_uuid(), gen_random_uuid(), 'total', 'x', 'own', 1, clock_timestamp(), clock_timestamp(), clock_timestamp() + make_interval(secs => $1))`,
          [secondsLeft],
        );
      await lease(600);
      const onlyNew = configOf({ RESERVATION_KEY: both.split(',')[1]! });
      expect(await refusalOf(onlyNew)).toMatch(
        /^RESERVATION_KEY has no version 1, which is needed by reservations that may be open until 20/,
      );
      await accept(configOf({ RESERVATION_KEY: both }));
      expect(await refusalOf(onlyNew)).toMatch(/^RESERVATION_KEY has no version 1/);
      await pool.query('DELETE FROM budget_lease');
      await lease(600);
      expect(await accept(onlyNew)).toEqual([]);
    });

    it('AUDIT_KEY is kept for the entries it has signed', async () => {
      await accept(configOf());
      expect(await refusalOf(configOf({ AUDIT_KEY: `2:${draw()}` }))).toMatch(
        /^AUDIT_KEY has no version 1, which is needed by the newest entries of the audit trail/,
      );
    });
  });

  it('cannot be unrecorded or altered by the application', async () => {
    await accept(configOf());
    for (const sql of [
      'DELETE FROM secret_fingerprint',
      `UPDATE secret_fingerprint SET version = '9'`,
      'UPDATE installation SET id = gen_random_uuid()',
      'DELETE FROM audit_key_change',
    ]) {
      await expect(pool.query(sql)).rejects.toThrow(/permission denied/);
    }
    const owner = await dataSource(database.ownerUrl, { max: 1 }).initialize();
    await expect(owner.query('DELETE FROM secret_fingerprint')).rejects.toThrow('secret_fingerprint is append-only');
    await owner.destroy();
  });

  it('are a line of the doctor', async () => {
    await accept(configOf());
    const doctorSays = async (config: Config) =>
      (await examine(config, pool)).map(lineOf).find((line) => line.includes('every secret is'));
    expect(await doctorSays(configOf())).toBe('ok    every secret is the one this database was made with');
    expect(await doctorSays(configOf({ TAG_KEYS: draw() }))).toMatch(
      /^DIFF {2}every secret is the one this database was made with\n.*TAG_KEYS version 1 has another value/,
    );
  });
});
