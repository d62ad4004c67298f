import type { Client } from 'pg';
import { copyIn } from '../database/copy.js';
import { BackupError, type CheckedBackup } from './backup-file.js';
import { quoted } from './dump.js';
import { decodeFrames, type Frame } from './frames.js';

type TableFrame = Extract<Frame, { kind: 'table' }>;

/**
 * Loads a backup into a database that has its schema and nothing else, in one transaction: all of it or nothing.
 * `client` must be the owner's, as a superuser: triggers and foreign keys do not act on what has met them once already.
 *
 * @throws BackupError when the tables are not those of the backup, or not all rows arrived
 */
export async function loadBackup(client: Client, backup: CheckedBackup): Promise<void> {
  await client.query('BEGIN');
  await client.query('SET LOCAL session_replication_role = replica');
  for (const month of backup.header.partitions) await client.query('SELECT usage_event_prepare(0, $1)', [month]);
  const loaded = new Set<string>();
  const frames = decodeFrames(backup.content());
  let next = await frames.next();
  while (!next.done) {
    const frame = next.value;
    if (frame.kind === 'sequences') await setSequences(client, frame.values);
    if (frame.kind !== 'table') {
      next = await frames.next();
      continue;
    }
    const { rowCount, behind } = await loadTable(client, frame, frames);
    requireCount(frame.table, rowCount, backup.rows[frame.table]);
    loaded.add(frame.table);
    next = behind;
  }
  const missing = Object.keys(backup.rows).filter((table) => !loaded.has(table));
  if (missing.length > 0)
    throw new BackupError(`The backup has no content for ${missing.join(', ')}: use another one.`);
  await client.query('COMMIT');
  // The planner knows nothing of the new rows otherwise, until autovacuum comes by.
  await client.query('ANALYZE');
}

/** What a table came to, and the frame behind its rows. */
interface LoadedTable {
  readonly rowCount: number;
  readonly behind: IteratorResult<Frame>;
}

async function loadTable(
  client: Client,
  { table, columns }: TableFrame,
  frames: AsyncGenerator<Frame>,
): Promise<LoadedTable> {
  await emptyTable(client, table);
  const state: { behind: IteratorResult<Frame> | null } = { behind: null };
  const sql = `COPY ${quoted(table)} (${columns.map(quoted).join(', ')}) FROM STDIN`;
  const rowCount = await copyIn(client, sql, rowsOf(frames, state));
  return { rowCount, behind: state.behind! };
}

/**
 * Removes what migrations have put there; the backup has its own of it. Append-only tables are empty and stay
 * untouched.
 */
async function emptyTable(client: Client, table: string): Promise<void> {
  const { rows } = await client.query<{ is_filled: boolean }>(
    `SELECT EXISTS (SELECT FROM ${quoted(table)}) AS is_filled`,
  );
  if (rows[0]!.is_filled) await client.query(`DELETE FROM ${quoted(table)}`);
}

async function* rowsOf(
  frames: AsyncGenerator<Frame>,
  state: { behind: IteratorResult<Frame> | null },
): AsyncGenerator<Buffer> {
  for (;;) {
    const next = await frames.next();
    if (next.done || next.value.kind !== 'rows') {
      state.behind = next;
      return;
    }
    yield next.value.data;
  }
}

function requireCount(table: string, found: number, expected: number | undefined): void {
  if (found !== expected)
    throw new BackupError(`Of ${expected ?? 0} rows of ${table} in the backup ${found} arrived: nothing was restored.`);
}

async function setSequences(
  client: Client,
  values: Readonly<Record<string, readonly [string, boolean]>>,
): Promise<void> {
  for (const [name, [value, isCalled]] of Object.entries(values)) {
    await client.query('SELECT setval($1::regclass, $2, $3)', [quoted(name), value, isCalled]);
  }
}
