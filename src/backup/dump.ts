import type { Client } from 'pg';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { copyOut } from '../database/copy.js';
import { expectedCatalog } from '../database/schema/expected.js';
import type { BackupHeader, RowCounts } from './backup-file.js';
import { encodeFrame, inBlocks } from './frames.js';

/** Bytes of rows that make a frame. */
const BLOCK_BYTES = 64 * 1024;

/** Tables and sequences of the runner of migrations; a restore finds them filled already. */
const OF_THE_SCHEMA = /^schema_/;

/** Refused calls have addresses of clients, which are kept for 48 hours and no longer. */
const NOT_KEPT = /^refused_call/;

/** What a dump takes of the database, and what it leaves. */
interface Found {
  readonly tables: readonly Table[];
  readonly sequences: readonly string[];
  /** Names of tables that are not of this schema. A restore has nowhere to put them. */
  readonly leftOut: readonly string[];
}

/** A snapshot of a database, on its way into a file. */
export interface Dump {
  readonly header: BackupHeader;
  /** The bytes of all frames. Read once. */
  content(): AsyncGenerator<Buffer>;
  /** Complete once `content` has ended. */
  rows(): RowCounts;
  /** Tables of the operator's own. They are in no backup. */
  readonly leftOut: readonly string[];
}

/**
 * Begins a snapshot of all tables of this schema, beside whatever runs on it. Nobody waits for it but migrations: they
 * could drop a table that it has not reached yet. It lasts until the session of `client`, which must be the owner's,
 * ends.
 */
export async function beginDump(client: Client, build: string): Promise<Dump> {
  await client.query('SELECT pg_advisory_lock_shared($1)', [ADVISORY_LOCKS.migration]);
  const found = await findContent(client);
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  // Before the first query, which takes the snapshot: what it has seen cannot be dropped any more.
  await client.query(`LOCK TABLE ${found.tables.map(({ table }) => quoted(table)).join(', ')} IN ACCESS SHARE MODE`);
  const header = await readHeader(client, build);
  const counts: Record<string, number> = {};
  return { header, rows: () => counts, content: () => framesOf(client, found, counts), leftOut: found.leftOut };
}

async function* framesOf(
  client: Client,
  { tables, sequences }: Found,
  counts: Record<string, number>,
): AsyncGenerator<Buffer> {
  for (const { table, columns } of tables) {
    yield encodeFrame({ kind: 'table', table, columns });
    // A query, because a partitioned table by itself has no rows to copy.
    const rows = copyOut(client, `COPY (SELECT ${columns.map(quoted).join(', ')} FROM ${quoted(table)}) TO STDOUT`);
    for await (const data of inBlocks(rows, BLOCK_BYTES)) yield encodeFrame({ kind: 'rows', data });
    counts[table] = rows.rowCount;
  }
  yield encodeFrame({ kind: 'sequences', values: await readSequences(client, sequences) });
}

/** A table and the columns that are written; those that PostgreSQL generates are generated again. */
interface Table {
  readonly table: string;
  readonly columns: readonly string[];
}

async function findContent(client: Client): Promise<Found> {
  const catalog = expectedCatalog();
  const isOurs = (table: string): boolean => catalog.has(`table ${table}`);
  const { rows } = await client.query<Table>(
    `SELECT c.relname AS table, array_agg(a.attname::text ORDER BY a.attnum) AS columns
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      GROUP BY c.relname ORDER BY c.relname COLLATE "C"`,
  );
  // Those of columns; the schema has no others.
  const { rows: sequences } = await client.query<{ name: string; table: string }>(
    `SELECT s.relname AS name, t.relname AS table
       FROM pg_class s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
       JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid
      WHERE s.relnamespace = 'public'::regnamespace AND s.relkind = 'S' ORDER BY 1`,
  );
  return {
    tables: rows.filter(({ table }) => isOurs(table) && !NOT_KEPT.test(table)),
    sequences: sequences.filter(({ table }) => isOurs(table)).map(({ name }) => name),
    leftOut: rows.map(({ table }) => table).filter((table) => !isOurs(table) && !OF_THE_SCHEMA.test(table)),
  };
}

async function readHeader(client: Client, build: string): Promise<BackupHeader> {
  const { rows } = await client.query<{
    postgres: string;
    made_at: Date;
    migrations: string[];
    epoch: string;
    seq: string;
    hash: string;
    at: Date | null;
    partitions: string[];
  }>(
    `SELECT current_setting('server_version') AS postgres, date_trunc('milliseconds', clock_timestamp()) AS made_at,
            ARRAY(SELECT name::text FROM schema_migration ORDER BY timestamp) AS migrations,
            h.epoch, h.seq, encode(h.audit_hash, 'hex') AS hash, e.at,
            ARRAY(SELECT replace(substr(c.relname, 13), '_', '-') || '-01' FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                   WHERE i.inhparent = 'usage_event'::regclass AND c.relname ~ '^usage_event_\\d{4}_\\d\\d$' ORDER BY 1) AS partitions
       FROM change_head h LEFT JOIN audit_event e ON e.seq = h.seq`,
  );
  const { postgres, made_at, migrations, epoch, seq, hash, at, partitions } = rows[0]!;
  return {
    build,
    postgres,
    madeAt: made_at.toISOString(),
    migrations,
    epoch,
    head: { seq, hash, at: at?.toISOString() ?? null },
    partitions,
  };
}

/** No part of a snapshot, and read last: no row can have a value that its sequence has not given out. */
async function readSequences(
  client: Client,
  names: readonly string[],
): Promise<Record<string, readonly [string, boolean]>> {
  const values: Record<string, readonly [string, boolean]> = {};
  for (const name of names) {
    const { rows: found } = await client.query<{ last_value: string; is_called: boolean }>(
      `SELECT last_value, is_called FROM ${quoted(name)}`,
    );
    values[name] = [found[0]!.last_value, found[0]!.is_called];
  }
  return values;
}

/** An identifier as SQL takes it. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
