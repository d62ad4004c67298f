import { mkdtemp, chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataSource } from '../../src/database/data-source.js';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { catalogText, readCatalog } from '../../src/database/schema/catalog.js';
import { EXPECTED_FILE } from '../../src/database/schema/expected.js';
import { knownMigrations } from '../../src/database/schema/known-migrations.js';
import { applyMissing } from '../../src/database/schema/runner.js';
import { sqlFunctions } from '../../src/database/schema/sql-functions.js';

/** Checksums of what was released, by release: none of it may change. */
export const RELEASED_FILE = new URL('../contract/released.json', import.meta.url);

/** The checksums of one release. */
export interface Release {
  readonly migrations: Readonly<Record<string, string>>;
  readonly functions: Readonly<Record<string, string>>;
}

/** The checksums of what this checkout has. */
export function checksums(): Release {
  const of = (all: readonly { name: string; checksum: string }[]) =>
    Object.fromEntries(all.map(({ name, checksum }) => [name, checksum]));
  return { migrations: of(knownMigrations()), functions: of(sqlFunctions()) };
}

/** All releases, oldest first. */
export async function releases(): Promise<Record<string, Release>> {
  return JSON.parse(await readFile(RELEASED_FILE, 'utf8')) as Record<string, Release>;
}

/** Writes down what the migrations and functions of this checkout make. */
export async function writeExpected(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-schema-'));
  // The account of the embedded PostgreSQL must get to it.
  await chmod(dataDir, 0o755);
  const server = await startEmbeddedPostgres({ dataDir, settings: { fsync: 'off' } });
  const pool = await dataSource(server.ownerUrl, { max: 1 }).initialize();
  try {
    const runner = pool.createQueryRunner();
    await applyMissing(
      runner,
      { migrations: knownMigrations(), functions: sqlFunctions(), expected: new Map() },
      () => undefined,
    );
    await writeFile(EXPECTED_FILE, catalogText(await readCatalog(runner)));
    await runner.release();
  } finally {
    await pool.destroy();
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** Adds this checkout's migrations and functions to what was released. */
export async function writeRelease(name: string): Promise<void> {
  const known = await releases();
  if (name in known) throw new Error(`${name} is released already: ${RELEASED_FILE.pathname} is never edited.`);
  await writeFile(RELEASED_FILE, `${JSON.stringify({ ...known, [name]: checksums() }, null, 2)}\n`);
}
