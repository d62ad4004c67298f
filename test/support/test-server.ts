import { mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres, stopAbandonedPostgres } from '../../src/database/embedded-postgres.js';
import { TEST_SERVER_VARIABLE } from './postgres.js';
import { prepareTemplate } from './template.js';

const DIRECTORY_PREFIX = 'latchkey-test-run-';

/** Nothing of a test outlives its run, so nothing has to reach the disk. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

/**
 * Starts the one PostgreSQL of a test run in a fresh directory, with its template database, and tells the workers of
 * it by an environment variable. Returns what stops it and deletes the directory.
 */
export async function startTestServer(): Promise<() => Promise<void>> {
  await removeAbandonedRuns();
  const dataDir = await mkdtemp(join(tmpdir(), DIRECTORY_PREFIX));
  const removeDirectory = () => rm(dataDir, { recursive: true, force: true });
  try {
    const server = await startEmbeddedPostgres({ dataDir, settings: SETTINGS });
    const stop = () => server.stop().then(removeDirectory);
    try {
      await prepareTemplate(server.ownerUrl);
    } catch (error) {
      await stop();
      throw error;
    }
    process.env[TEST_SERVER_VARIABLE] = JSON.stringify({
      ownerUrl: server.ownerUrl,
      appUrl: server.appUrl,
      directory: dataDir,
    });
    return stop;
  } catch (error) {
    await removeDirectory();
    throw error;
  }
}

/**
 * A run that was killed had no teardown: the next one ends its server and removes its directory. A server that a test
 * started below the directory ends by itself, because PostgreSQL looks every minute whether its lock file is there.
 */
async function removeAbandonedRuns(): Promise<void> {
  const parent = await realpath(tmpdir());
  for (const name of await readdir(parent)) {
    if (!name.startsWith(DIRECTORY_PREFIX)) continue;
    const dataDir = join(parent, name);
    try {
      if (await stopAbandonedPostgres(dataDir)) await rm(dataDir, { recursive: true, force: true });
    } catch (error) {
      // Of another user, who will clean up after himself.
      if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}
