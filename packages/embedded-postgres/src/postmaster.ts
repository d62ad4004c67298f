import { execFile } from 'node:child_process';
import { chown, lstat, readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writePrivateFile } from './private-file.js';
import { findProcess, signalReaches } from './processes.js';

/** What `postmaster.pid` says. `port` is 0 while the server has not written it yet. */
export interface Postmaster {
  pid: number;
  port: number;
}

/** A pid no system gives out (Linux ends at 2^22), so that PostgreSQL finds no process behind it. */
const UNUSED_PID = 2 ** 31 - 1;

/** What postmaster.pid says about a living server of this cluster, or null if there is none. */
export async function findPostmaster(cluster: string): Promise<Postmaster | null> {
  const path = join(cluster, 'postmaster.pid');
  const lines = await postmasterLines(cluster);
  const pid = Number.parseInt(lines[0] ?? '', 10);
  // A negative pid is a single-user backend; it listens nowhere and PostgreSQL itself refuses beside it.
  if (!(pid > 0)) return null;
  if ((await findProcess(pid)) !== null && (await isPostgresOf(pid, cluster))) {
    return { pid, port: Number.parseInt(lines[3] ?? '', 10) || 0 };
  }
  // The server is dead, and its pid is a zombie's, which a container without an init never reaps, or was given to
  // another process: PostgreSQL would refuse to start beside either. Only the pid is replaced: PostgreSQL still checks
  // the shared memory named in the file, so a backend that outlived its server keeps a second one out.
  if (signalReaches(pid)) await writeClusterFile(cluster, path, [UNUSED_PID, ...lines.slice(1)].join('\n'));
  return null;
}

/** Whether this very server runs and the files are there that say so. Changes nothing, so it needs no lock. */
export async function isPostmaster(cluster: string, pid: number): Promise<boolean> {
  const [noted] = await postmasterLines(cluster);
  return Number.parseInt(noted ?? '', 10) === pid && (await findProcess(pid)) !== null;
}

/** The port of the server that runs or ran here last, if it did not end in order; else null. */
export async function findLastPort(cluster: string): Promise<number | null> {
  return Number.parseInt((await postmasterLines(cluster))[3] ?? '', 10) || null;
}

async function postmasterLines(cluster: string): Promise<string[]> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n');
}

async function writeClusterFile(cluster: string, path: string, content: string): Promise<void> {
  await writePrivateFile(path, content);
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await lstat(cluster);
  await chown(path, uid, gid);
}

/** A server works in its data directory (and is called with it); where neither can be seen it is taken for one. */
async function isPostgresOf(pid: number, cluster: string): Promise<boolean> {
  if (process.platform === 'win32') return true;
  if (process.platform === 'linux') {
    const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch((error: NodeJS.ErrnoException) => error);
    if (typeof workingDirectory === 'string') return workingDirectory === (await realpath(cluster));
    // We may look into every process of the account that owns the cluster, so this is another program's.
    return false;
  }
  const listed = await promisify(execFile)('ps', ['-o', 'args=', '-p', String(pid)]).catch(() => null);
  return listed === null || listed.stdout.includes(cluster);
}
