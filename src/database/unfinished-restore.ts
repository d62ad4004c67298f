import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { forgetCreated } from '../../packages/embedded-postgres/src/cluster.js';
import { isRunning, type ProcessIdentity, thisProcess } from '../../packages/embedded-postgres/src/processes.js';
import { StartRefusal } from '../common/start-refusal.js';
import { findCluster, removeCluster, stopAbandonedPostgres } from './embedded-postgres.js';

/** Lies in a data directory from before a restore makes its database until it has done everything. */
const MARKER = 'restore-unfinished.json';

/** @throws StartRefusal when a restore into this directory did not come to its end */
export async function refuseUnfinishedRestore(dataDir: string): Promise<void> {
  if ((await readMarker(dataDir)) === null) return;
  throw new StartRefusal(
    `The restore into ${dataDir} is not finished, so its database is not complete: wait for it, or run it again (npm run restore -- <file>).`,
  );
}

/**
 * Claims a data directory for a restore: from here on nothing starts on it until `endRestore`. What a restore that
 * was killed has left there is removed.
 *
 * @throws StartRefusal when there is a database that no restore has left, or another restore is at work
 */
export async function beginRestore(dataDir: string): Promise<void> {
  const left = await readMarker(dataDir);
  if (left === null) {
    if ((await findCluster(dataDir)) !== null) {
      throw new StartRefusal(
        `There is a database in ${dataDir}, and a restore replaces none: set DATA_DIR to an empty directory, or move that one away.`,
      );
    }
  } else {
    if (await isRunning(left))
      throw new StartRefusal(`Another restore into ${dataDir} is under way (process ${left.pid}): wait for it.`);
    await removeRestored(dataDir);
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFile(join(dataDir, MARKER), JSON.stringify(await thisProcess()), { mode: 0o600, flush: true });
  await forgetCreated(dataDir);
}

/** The restore is complete: the database may be started. */
export async function endRestore(dataDir: string): Promise<void> {
  await rm(join(dataDir, MARKER));
}

/** Takes back what a restore has made so far; the directory is as before it. */
export async function abandonRestore(dataDir: string): Promise<void> {
  await removeRestored(dataDir);
  await endRestore(dataDir);
}

async function removeRestored(dataDir: string): Promise<void> {
  if (!(await stopAbandonedPostgres(dataDir)))
    throw new StartRefusal(`Another process uses the database in ${dataDir}: end it first.`);
  await removeCluster(dataDir);
  await forgetCreated(dataDir);
}

async function readMarker(dataDir: string): Promise<ProcessIdentity | null> {
  const text = await readFile(join(dataDir, MARKER), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw error;
  });
  if (text === null) return null;
  try {
    return JSON.parse(text) as ProcessIdentity;
  } catch {
    // Killed while it was written: its writer does not run, and no process has this id.
    return { pid: 2 ** 31 - 1, started: '' };
  }
}
