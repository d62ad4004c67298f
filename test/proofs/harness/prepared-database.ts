import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';
import { migrate } from '../../../src/database/migrate.js';

const run = promisify(execFile);

let prepared: Promise<string> | undefined;

/**
 * Fills an empty directory with a PostgreSQL that has been migrated, and has no data of an installation. To make one
 * takes longer than many experiments need: it is made once a process, and copied.
 */
export async function copyPreparedDatabase(dataDir: string): Promise<void> {
  prepared ??= prepare();
  // Keeps owners, which Node's own copy does not: PostgreSQL runs as another account where this process is root.
  await run('cp', ['-a', `${await prepared}/.`, dataDir]);
}

async function prepare(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-proof-prepared-'));
  process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }));
  const server = await startEmbeddedPostgres({ dataDir });
  try {
    await migrate(server.ownerUrl);
  } finally {
    await server.stop();
  }
  return dataDir;
}
