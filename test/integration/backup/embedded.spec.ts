import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { makeBackup } from '../../../src/backup/make-backup.js';
import { restoreBackup } from '../../../src/backup/restore-backup.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';
import { migrate } from '../../../src/database/migrate.js';
import { openForReading } from '../../../src/database/open-database.js';
import { testConfig } from '../../support/app.js';
import { createTestDirectory } from '../../support/postgres.js';

/** Not durable: what is shown here has nothing to do with power cuts. */
const SETTINGS = { fsync: 'off' };

/** What the text format has to escape, and what it might lose. */
const ODD_TEXT = 'tab\there, back\\slash, \\N, line\nbreak, "quotes", \u{1F511}, a dot: \\.';

const ROWS = `
  INSERT INTO role (name, permissions) VALUES ('odd', ARRAY['a,b', '{', E'tab\\t', '']);
  INSERT INTO users (id, email, name, kind) VALUES ('00000000-0000-7000-8000-000000000001', 'odd@latchkey.test', $odd$${ODD_TEXT}$odd$, 'person');
  INSERT INTO user_role VALUES ('00000000-0000-7000-8000-000000000001', 'odd');
  INSERT INTO session (id, user_id, expires_at) VALUES (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'infinity');
  INSERT INTO api_key (id, owner_id, name, environment, metadata, budget_limit_micro_cents, budget_type)
    SELECT gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'key ' || n, 'live', jsonb_build_object('n', n, 'text', 'x"\\y'), n * 1000, 'total'
      FROM generate_series(1, 3000) AS n;
  DELETE FROM api_key WHERE name = 'key 7';
  UPDATE budget_account SET spent_micro_cents = 500 WHERE limit_micro_cents = 2000;
  INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version)
    SELECT 'kid' || ordinal, id, 'own', 'lk', sha256(name::bytea), '1' FROM api_key;
  SELECT usage_event_prepare(0, '2025-02-01');
  INSERT INTO usage_event (received_at, key_id, caller_id, event_id, month, requests, input_tokens, output_tokens, cost_micro_cents)
    SELECT at, id, id, 'e', '2025-02-01', 1, 2, 3, 4 FROM api_key, unnest(ARRAY['2025-02-03'::timestamptz, '2020-01-01', now()]) AS at WHERE ordinal < 20`;

/** Rows of each table in a comparable form; partitions by themselves, to see where the rows are. */
const CONTENT = `
  SELECT format('SELECT %L AS "table", count(*)::int AS count, md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '''')) AS sum FROM %I t', relname, relname) AS sql
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'schema\\_%' ORDER BY relname`;

describe('A backup of the embedded PostgreSQL', () => {
  let directory: string;
  let source: EmbeddedPostgres;
  const config = (name: string) => testConfig({ DATA_DIR: join(directory, name) });
  const backup = () => join(directory, 'backup');

  beforeAll(async () => {
    directory = await createTestDirectory();
    source = await startEmbeddedPostgres({ dataDir: join(directory, 'source'), settings: SETTINGS });
    await migrate(source.ownerUrl);
    await query(source.ownerUrl, ROWS);
    await makeBackup(config('source'), backup());
  }, 120_000);
  afterAll(() => source.stop());

  it('gives a database that has the very same rows, in the same partitions, and goes on from there', async () => {
    const content = await contentOf(source.ownerUrl);
    expect(content).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ table: 'api_key', count: 2999 }),
        expect.objectContaining({ table: 'usage_event_2025_02', count: 18 }),
      ]),
    );
    const { result } = await restoreBackup(config('restored'), backup(), async (appUrl) => {
      const names = await query<{ name: string }>(appUrl, `SELECT name FROM users WHERE email = 'odd@latchkey.test'`);
      return { names, inside: await refusalOf(() => openForReading(config('restored'))) };
    });
    expect(result.names).toEqual([{ name: ODD_TEXT }]);
    // Until the restore is complete, nothing else opens the database.
    expect(result.inside).toMatch('is not finished');
    const restored = await startEmbeddedPostgres({ dataDir: join(directory, 'restored'), settings: SETTINGS });
    try {
      expect(await contentOf(restored.ownerUrl)).toEqual(content);
      const [next] = await query<{ ordinal: string; accounts: number }>(
        restored.ownerUrl,
        `INSERT INTO api_key (id, owner_id, name, environment) SELECT gen_random_uuid(), id, 'next', 'live' FROM users RETURNING ordinal`,
      );
      expect(next!.ordinal).toBe('3001');
      await expect(query(restored.ownerUrl, 'TRUNCATE audit_event')).rejects.toThrow('append-only');
      expect(
        await query(
          restored.ownerUrl,
          `SELECT 1 FROM budget_account a JOIN api_key k ON k.id = a.key_id WHERE k.name = 'next'`,
        ),
      ).toHaveLength(1);
    } finally {
      await restored.stop();
    }
  }, 120_000);

  it('is refused where there is a database, and leaves that alone', async () => {
    expect(await refusalOf(() => restoreBackup(config('source'), backup(), async () => undefined))).toMatch(
      'a restore replaces none',
    );
    expect(await query(source.ownerUrl, 'SELECT 1 FROM users')).toHaveLength(1);
  });

  it('leaves out a table that is not ours, says so, and can be restored', async () => {
    await query(
      source.ownerUrl,
      "CREATE TABLE notes (id serial, note text); INSERT INTO notes (note) VALUES ('of the operator')",
    );
    const { leftOut, rows } = await makeBackup(config('source'), join(directory, 'with-notes'));
    await query(source.ownerUrl, 'DROP TABLE notes');
    expect([leftOut, rows['notes'], rows['api_key']]).toEqual([['notes'], undefined, 2999]);
    await expect(
      restoreBackup(config('without-notes'), join(directory, 'with-notes'), async () => undefined),
    ).resolves.toBeDefined();
  }, 120_000);

  it('that cannot be loaded leaves a directory without a database', async () => {
    const broken = join(directory, 'broken');
    expect(
      await refusalOf(() =>
        restoreBackup(config('broken'), backup(), () => Promise.reject(new Error('the disk is full'))),
      ),
    ).toBe('the disk is full');
    await mkdir(broken, { recursive: true });
    expect(await refusalOf(() => openForReading(config('broken')))).toMatch('There is no database');
    await expect(restoreBackup(config('broken'), backup(), async () => undefined)).resolves.toBeDefined();
  }, 120_000);

  it('is refused by a build of another schema, which says what to use', async () => {
    const other = join(directory, 'other');
    await copyFile(backup(), other);
    const whole = await readFile(other, 'latin1');
    await writeFile(other, whole.replace(/"Foundation\d+"/, '"Foundation1790000000001"'), 'latin1');
    // Altered, and said so first: the schema of a file that cannot be trusted is of no interest.
    expect(await refusalOf(() => restoreBackup(config('other'), other, async () => undefined))).toMatch(
      'cut short or altered',
    );
    const older = await startEmbeddedPostgres({ dataDir: join(directory, 'older'), settings: SETTINGS });
    try {
      await migrate(older.ownerUrl);
      await query(
        older.ownerUrl,
        `UPDATE schema_migration SET name = 'Later1890000000000' WHERE id = (SELECT max(id) FROM schema_migration)`,
      );
      expect(await refusalOf(() => makeBackup(config('older'), join(directory, 'never')))).toMatch(
        /another version \(its newest migration is Later1890000000000\)/,
      );
    } finally {
      await older.stop();
    }
  }, 120_000);

  it('is not for a PostgreSQL of one’s own', async () => {
    const own = testConfig({ DATABASE_URL: 'postgres://127.0.0.1:1/none' });
    expect(await refusalOf(() => makeBackup(own, join(directory, 'own')))).toMatch('pg_dump');
    expect(await refusalOf(() => restoreBackup(own, backup(), async () => undefined))).toMatch('--after');
  });
});

async function query<Row>(url: string, sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end();
  }
}

async function contentOf(url: string): Promise<unknown[]> {
  const statements = await query<{ sql: string }>(url, CONTENT);
  return query(url, statements.map(({ sql }) => sql).join(' UNION ALL '));
}

async function refusalOf(work: () => Promise<unknown>): Promise<string> {
  return work().then(
    () => 'done',
    (error: Error) => error.message,
  );
}
