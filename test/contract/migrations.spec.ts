import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hostname } from 'node:os';
import { Client } from 'pg';
import type { DataSource, EntityMetadata } from 'typeorm';
import { ADVISORY_LOCKS } from '../../src/database/advisory-locks.js';
import { dataSource } from '../../src/database/data-source.js';
import { migrate } from '../../src/database/migrate.js';
import { migrations } from '../../src/database/migrations.js';
import { withMigrationLock } from '../../src/database/schema/migration-lock.js';
import { entities } from '../../src/server/entities.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';

/** Columns that no entity maps, on purpose. */
const UNMAPPED = new Set([
  'api_key_secret.mac',
  'api_key_secret.binding',
  'api_key.search_text',
  'api_key.secret_prefixes',
  'api_key.ordinal',
  'api_key_secret.tag_version',
  'users.notices_seen_seq',
]);

/** PostgreSQL's names of the types that entities name otherwise. */
const TYPES: Record<string, string> = {
  text: 'text',
  uuid: 'uuid',
  boolean: 'boolean',
  integer: 'integer',
  bigint: 'bigint',
  smallint: 'smallint',
  timestamptz: 'timestamp with time zone',
  jsonb: 'jsonb',
  bytea: 'bytea',
  numeric: 'numeric',
};

describe('migrations', () => {
  let database: TestDatabase;
  let owner: DataSource;

  beforeAll(async () => {
    database = await createTestDatabase();
    owner = await dataSource(database.ownerUrl, { max: 3, entities, isPatient: true }).initialize();
  });
  afterAll(async () => {
    await owner.destroy();
    await database.drop();
  });

  it('go down to nothing and up again to the same schema', async () => {
    // Partitions of refused calls are made for the hours around now: between the two looks these may be others.
    const schema = async () =>
      (await schemaOf(database.ownerUrl)).filter((line) => !/\brefused_call_\d{4}(_\d\d){3}/.test(line));
    const first = await schema();
    for (let index = 0; index < migrations.length; index += 1) await owner.undoLastMigration();
    expect(
      (await schemaOf(database.ownerUrl)).filter(
        (line) => !line.includes('schema_migration') && !line.includes('schema_checksum'),
      ),
    ).toEqual([]);
    await migrate(database.ownerUrl);
    expect(await schema()).toEqual(first);
    expect(first.length).toBeGreaterThan(50);
  });

  it('run once, however many processes start at once', async () => {
    for (let index = 0; index < migrations.length; index += 1) await owner.undoLastMigration();
    await Promise.all([migrate(database.ownerUrl), migrate(database.ownerUrl), migrate(database.ownerUrl)]);
    const [row] = await owner.query<{ count: number }[]>('SELECT count(*)::int AS count FROM schema_migration');
    expect(row!.count).toBe(migrations.length);
  });

  it('wait for another process that migrates, however long a statement of the server may take, and say for whom', async () => {
    const other = new Client({ connectionString: database.ownerUrl, application_name: 'the other replica' });
    await other.connect();
    await other.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.migration]);
    const { pid } = (await other.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!;
    const lines: string[] = [];
    const waiting = migrate(database.ownerUrl, (line) => lines.push(line));
    const isThrough = await Promise.race([
      waiting.then(() => true),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 16_000)),
    ]);
    await other.end();
    await waiting;
    expect(isThrough).toBe(false);
    expect(lines).toEqual([
      expect.stringMatching(
        new RegExp(
          `^Waiting for another process that migrates this database: "the other replica", PostgreSQL process ${pid}, from 127\\.0\\.0\\.1:\\d+, for 1\\d s\\. ` +
            `If that process is dead or stopped, end its session: SELECT pg_terminate_backend\\(${pid}\\)\\.$`,
        ),
      ),
    ]);
  });

  it('say which transaction they wait for, and whom others wait for', async () => {
    const other = new Client({ connectionString: database.ownerUrl, application_name: 'a report' });
    await other.connect();
    await other.query('BEGIN; LOCK TABLE role');
    const lines: string[] = [];
    let holder: unknown;
    const work = withMigrationLock(
      owner,
      (line) => lines.push(line),
      async (runner) => {
        [holder] = (await runner.query(
          `SELECT application_name AS name FROM pg_stat_activity JOIN pg_locks USING (pid)
            WHERE datname = current_database() AND locktype = 'advisory' AND objid = $1 AND granted`,
          [ADVISORY_LOCKS.migration],
        )) as unknown[];
        await runner.query('SELECT 1 FROM role');
      },
    );
    for (const deadline = Date.now() + 60_000; lines.length === 0 && Date.now() < deadline;)
      await new Promise((resolve) => setTimeout(resolve, 100));
    await other.end();
    await work;
    expect(lines[0]).toMatch(
      /^The migration waits for a transaction that has locked a table: "a report", PostgreSQL process \d+, from 127\.0\.0\.1:\d+, for \d+ s\./,
    );
    expect(holder).toEqual({ name: `latchkey-migrate ${process.pid} on ${hostname()}`.slice(0, 63) });
  });

  it('make the columns that entities map, and no others', async () => {
    const columns = await owner.query<{ place: string; kind: string; nullable: boolean }[]>(
      `SELECT c.relname || '.' || a.attname AS place, format_type(a.atttypid, NULL) AS kind, NOT a.attnotnull AS nullable
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
        WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT c.relispartition`,
    );
    const tables = new Set(owner.entityMetadatas.map(({ tableName }) => tableName));
    const made = columns
      .filter(({ place }) => tables.has(place.split('.')[0]!) && !UNMAPPED.has(place))
      .map(({ place, kind, nullable }) => `${place} ${kind}${nullable ? ' null' : ''}`);
    expect(made.sort()).toEqual(owner.entityMetadatas.flatMap(columnsOf).sort());
  });
});

function columnsOf(metadata: EntityMetadata): string[] {
  return metadata.columns.map((column) => {
    const type = TYPES[String(column.type)] ?? `unknown type ${String(column.type)}`;
    return `${metadata.tableName}.${column.databaseName} ${type}${column.isArray ? '[]' : ''}${column.isNullable ? ' null' : ''}`;
  });
}

/** Everything that migrations make, a line each. */
async function schemaOf(url: string): Promise<string[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ line: string }>(`
      SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS line
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'public'::regnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       WHERE a.attnum > 0 AND NOT a.attisdropped
      UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
      UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
      UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT tgisinternal
      UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
      UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
      UNION ALL SELECT 'sequence ' || c.relname FROM pg_class c WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
      UNION ALL SELECT 'grant ' || table_name || ' ' || grantee || ' ' || privilege_type FROM information_schema.role_table_grants WHERE table_schema = 'public' AND grantee = 'latchkey_app'
       ORDER BY 1`);
    return rows.map(({ line }) => line);
  } finally {
    await client.end();
  }
}
