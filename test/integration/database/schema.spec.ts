import { afterEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { StartRefusal } from '../../../src/common/start-refusal.js';
import { dataSource } from '../../../src/database/data-source.js';
import { migrate } from '../../../src/database/migrate.js';
import { migrations } from '../../../src/database/migrations.js';
import { schemaCheck } from '../../../src/database/schema/schema-check.js';
import { createFirstReleaseDatabase } from '../../support/first-release.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

/** What was done to a database by hand, and what of it is named. */
const EDITS: readonly (readonly [what: string, sql: string, named: string])[] = [
  ['a dropped column', 'ALTER TABLE users DROP COLUMN last_sign_in_at', 'column users.last_sign_in_at is missing'],
  [
    'a column of another type',
    'ALTER TABLE users ALTER COLUMN max_active_keys TYPE bigint',
    'column users.max_active_keys is "bigint", should be "integer"',
  ],
  [
    'a column that may be null',
    'ALTER TABLE role ALTER COLUMN permissions DROP NOT NULL',
    'column role.permissions is',
  ],
  ['another default', `ALTER TABLE change_head ALTER COLUMN seq SET DEFAULT 1`, 'column change_head.seq is'],
  ['a dropped table', 'DROP TABLE verdict_minute', 'table verdict_minute is missing.'],
  [
    'a table that a crash empties',
    'ALTER TABLE rate_window SET UNLOGGED',
    'table rate_window is "unlogged", should be "permanent"',
  ],
  [
    'a changed check',
    `ALTER TABLE users DROP CONSTRAINT users_kind_check, ADD CONSTRAINT users_kind_check CHECK (kind IN ('person', 'service', 'robot'))`,
    'constraint users.users_kind_check is',
  ],
  [
    'a check that was not validated',
    `ALTER TABLE users DROP CONSTRAINT users_kind_check, ADD CONSTRAINT users_kind_check CHECK (kind IN ('person', 'service')) NOT VALID`,
    'constraint users.users_kind_check is',
  ],
  [
    'a dropped foreign key',
    'ALTER TABLE session DROP CONSTRAINT session_user_fkey',
    'constraint session.session_user_fkey is missing',
  ],
  ['a missing index', 'DROP INDEX api_key_created_idx', 'index api_key_created_idx is missing'],
  [
    'an index of other columns',
    'DROP INDEX session_user_idx; CREATE INDEX session_user_idx ON session (expires_at)',
    'index session_user_idx is',
  ],
  [
    'a dropped trigger',
    'DROP TRIGGER api_key_open_account ON api_key',
    'trigger api_key.api_key_open_account is missing',
  ],
  [
    'a trigger that was switched off',
    'ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only',
    'trigger audit_event.audit_event_append_only is',
  ],
  [
    'a changed function',
    `CREATE OR REPLACE FUNCTION quota_ms(instant timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1'`,
    'function quota_ms was changed',
  ],
  ['a function with other settings', 'ALTER FUNCTION usage_book RESET ALL', 'function usage_book was changed'],
  [
    'a function with the rights of its caller',
    'ALTER FUNCTION usage_event_prepare SECURITY INVOKER',
    'function usage_event_prepare was changed',
  ],
  [
    'a second function of the same name',
    `CREATE FUNCTION quota_month(instant date) RETURNS text LANGUAGE sql AS 'SELECT NULL'`,
    'function quota_month was changed',
  ],
  ['a dropped function', 'DROP FUNCTION quota_close_expired', 'function quota_close_expired is missing'],
];

describe('The schema of a database', () => {
  let database: TestDatabase;
  afterEach(() => database.drop());

  const execute = async (sql: string) => {
    const client = new Client({ connectionString: database.ownerUrl });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  /** The sentence with which a start is refused; the doctor's is the same, or longer. */
  const refusal = async () => {
    const error = await migrate(database.ownerUrl).then(
      () => new Error('It started.'),
      (reason: Error) => reason,
    );
    if (!(error instanceof StartRefusal)) throw error;
    await expect(doctor()).rejects.toThrow(StartRefusal);
    return error.message;
  };
  const doctor = async () => {
    const pool = await dataSource(database.appUrl, { max: 1 }).initialize();
    return schemaCheck(pool)
      .run()
      .finally(() => pool.destroy());
  };

  describe('that this build made', () => {
    it('is accepted again, also with an index and a table that an operator added', async () => {
      database = await createTestDatabase();
      await execute('CREATE INDEX ours ON api_key (environment); CREATE TABLE reports (id int)');
      await migrate(database.ownerUrl);
      expect(await doctor()).toBeNull();
    });

    it.each(EDITS)('is refused with %s', async (_what, sql, named) => {
      database = await createTestDatabase();
      await execute(sql);
      const sentence = await refusal();
      expect(sentence).toContain('The schema of this database was edited: ');
      expect(sentence).toContain(named);
      expect(sentence).toContain('Undo that, or restore a backup');
    });

    it('is refused by a build whose migration was edited', async () => {
      database = await createTestDatabase();
      await execute(`UPDATE schema_checksum SET checksum = 'another' WHERE name = 'Usage1790000000400'`);
      expect(await refusal()).toContain(
        'The migration Usage1790000000400 of this build is not the one that this database was made with',
      );
    });

    it('is refused by a build whose function was edited', async () => {
      database = await createTestDatabase();
      await execute(`UPDATE schema_checksum SET checksum = 'another' WHERE name = 'usage_book'`);
      expect(await refusal()).toContain(
        'The function usage_book of this build is not the one that this database was made with',
      );
    });

    it('lets the application read its checksums and not write them', async () => {
      database = await createTestDatabase();
      const pool = await dataSource(database.appUrl, { max: 1 }).initialize();
      try {
        const [row] = await pool.query<{ count: number }[]>('SELECT count(*)::int AS count FROM schema_checksum');
        expect(row!.count).toBeGreaterThan(migrations.length);
        for (const sql of [
          `INSERT INTO schema_checksum VALUES ('function', 'x', 'y')`,
          `UPDATE schema_checksum SET checksum = ''`,
          'DELETE FROM schema_checksum',
          'TRUNCATE schema_checksum',
        ]) {
          await expect(pool.query(sql)).rejects.toMatchObject({ code: '42501' });
        }
      } finally {
        await pool.destroy();
      }
    });
  });

  describe('that a newer build has migrated', () => {
    const NEWER = `INSERT INTO schema_migration ("timestamp", name) VALUES (9990000000000, 'Newer9990000000000')`;

    it('is accepted where the functions of this build are as they were', async () => {
      database = await createTestDatabase();
      await execute(
        `${NEWER}; ALTER TABLE users DROP CONSTRAINT users_kind_check; ALTER TABLE users ADD COLUMN phone text`,
      );
      await execute(`CREATE FUNCTION quota_windows_9() RETURNS int LANGUAGE sql AS 'SELECT 1'`);
      await migrate(database.ownerUrl);
      expect(await doctor()).toBe('migrated by a newer build, to Newer9990000000000');
    });

    it.each(EDITS.filter(([, , named]) => named.startsWith('function')))(
      'is refused with %s',
      async (_what, sql, named) => {
        database = await createTestDatabase();
        await execute(`${NEWER}; ${sql}`);
        const sentence = await refusal();
        expect(sentence).toContain('This database was migrated by a newer build (Newer9990000000000)');
        expect(sentence).toContain(named);
      },
    );

    it('is refused without a column that this build reads', async () => {
      database = await createTestDatabase();
      await execute(`${NEWER}; ALTER TABLE users DROP COLUMN last_sign_in_at`);
      expect(await refusal()).toContain('column users.last_sign_in_at is missing. Start the newer build.');
    });

    it('is refused where each has a migration that the other lacks', async () => {
      database = await createTestDatabase();
      await execute(`${NEWER}; DELETE FROM schema_migration WHERE name = 'ApiKeyTerms1790000000500'`);
      expect(await refusal()).toContain('start a build that has both');
    });
  });

  describe('that the first release made', () => {
    it('is taken over, and its checksums are kept from then on', async () => {
      database = await createFirstReleaseDatabase();
      expect(await doctor()).toContain('as the first release made it');
      const lines: string[] = [];
      await migrate(database.ownerUrl, (line) => lines.push(line));
      expect(lines[0]).toBe('The schema is that of the first release; its checksums are kept from now on.');
      const [row] = await execute('SELECT count(*)::int AS count FROM schema_checksum');
      expect(row!['count']).toBeGreaterThan(migrations.length);
      expect(await doctor()).toBeNull();
    });

    it('is completed where its first start was killed', async () => {
      database = await createFirstReleaseDatabase(3);
      expect(await doctor()).toMatch(/^the next start runs \d+ migrations, from Quotas1790000000300$/);
      const lines: string[] = [];
      await migrate(database.ownerUrl, (line) => lines.push(line));
      expect(lines[0]).toMatch(/^Migrated: Quotas1790000000300, in \d+\.\d s\.$/);
      expect(await doctor()).toBeNull();
    });

    it.each([
      ...EDITS,
      [
        'a column that was added',
        'ALTER TABLE usage_id ADD COLUMN payload_version smallint NOT NULL',
        'column usage_id.payload_version was added',
      ],
      [
        'a check that was added',
        'ALTER TABLE usage_id ADD CONSTRAINT never CHECK (false) NOT VALID',
        'constraint usage_id.never was added',
      ],
      ['a unique index that was added', 'CREATE UNIQUE INDEX one ON usage_id (key_id)', 'index one was added'],
      [
        'a trigger that was added',
        'CREATE TRIGGER refuse BEFORE INSERT ON usage_id FOR EACH ROW EXECUTE FUNCTION audit_refuse_change()',
        'trigger usage_id.refuse was added',
      ],
    ] as const)('is refused with %s, and nothing is written', async (_what, sql, named) => {
      database = await createFirstReleaseDatabase();
      await execute(sql);
      const sentence = await refusal();
      expect(sentence).toContain('This database was not made by a release, or was edited since: ');
      expect(sentence).toContain(named);
      expect(
        await execute(
          `SELECT to_regclass('schema_checksum') AS found, (SELECT count(*)::int FROM schema_migration) AS count`,
        ),
      ).toEqual([{ found: null, count: 6 }]);
    });
  });

  it('is refused before a migration runs, where an earlier build made other functions and fewer migrations', async () => {
    database = await createFirstReleaseDatabase(5);
    await execute('ALTER FUNCTION usage_book RESET ALL');
    const error = await migrate(database.ownerUrl).catch((reason: Error) => reason);
    expect((error as Error).message).toContain(
      'This database was not made by a release, or was edited since: function usage_book was changed.',
    );
    expect(await execute('SELECT count(*)::int AS count FROM schema_migration')).toEqual([{ count: 5 }]);
  });

  it('is made by the first start, which says it in one line', async () => {
    database = await createTestDatabase('template0');
    expect(await doctor()).toBe('none yet; the next start makes it');
    const lines: string[] = [];
    await migrate(database.ownerUrl, (line) => lines.push(line));
    expect(lines).toEqual([expect.stringMatching(/^Made the schema: \d+ migrations, in \d+\.\d s\.$/)]);
  });

  it('is refused where another product has a table of ours', async () => {
    database = await createTestDatabase('template0');
    await execute('CREATE TABLE users (id int)');
    const error = await migrate(database.ownerUrl).catch((reason: Error) => reason);
    expect(error).toBeInstanceOf(StartRefusal);
    expect((error as Error).message).toContain(
      'already and no record of our migrations: give Latchkey a database of its own',
    );
  });

  it('is as it was after a migration that fails, which is one sentence', async () => {
    database = await createFirstReleaseDatabase(2);
    await execute('CREATE TABLE replica (id int)');
    const error = await migrate(database.ownerUrl).catch((reason: Error) => reason);
    expect(error).toBeInstanceOf(StartRefusal);
    expect((error as Error).message).toMatch(
      /^The migration Replicas1790000000200 failed and was undone \(relation "replica" already exists, SQLSTATE 42P07\)/,
    );
    expect(await execute('SELECT count(*)::int AS count FROM schema_migration')).toEqual([{ count: 2 }]);
  });
});
