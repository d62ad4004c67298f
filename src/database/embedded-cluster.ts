import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { StartRefusal } from '../common/start-refusal.js';
import { DATA_DIR_ENTRIES } from '../config/data-dir.js';
import type { Account, Binaries } from './embedded-binaries.js';
import { binaryOptions, canEnter, executable, SYSTEM_DIRECTORY } from './embedded-binaries.js';
import { findProcess, signalReaches } from './embedded-lock.js';

/** The role that owns the database and runs migrations: the cluster's superuser. */
export const OWNER_ROLE = 'latchkey_owner';
/** The role the server works as: it may log in and nothing else until a migration grants it more. */
export const APP_ROLE = 'latchkey_app';
/** The one database of the cluster that is ours. */
export const DATABASE = 'latchkey';

/** The passwords of the two roles, kept in `postgres-credentials.json` (mode 0600). */
export interface Credentials {
  ownerPassword: string;
  appPassword: string;
}

/** What `postmaster.pid` says. `port` is 0 while the server has not written it yet. */
export interface Postmaster {
  pid: number;
  port: number;
}

const CREDENTIALS_FILE = 'postgres-credentials.json';
/** Written once a cluster has been made: without the cluster beside it, something has been lost. */
const CREATED_FILE = 'postgres-created';
/** Written only if the cluster cannot lie in the data directory; once there, it decides. */
const LOCATION_FILE = DATA_DIR_ENTRIES.clusterLocation;
/** A pid no system gives out (Linux ends at 2^22), so that PostgreSQL finds nobody behind it. */
const NOBODYS_PID = 2 ** 31 - 1;

/**
 * Where this data directory's cluster lies, or null if it has none yet.
 *
 * @throws Error if the data directory points to a cluster that is gone, or that belongs to the data directory it
 * was copied from.
 */
export async function findCluster(dataDir: string): Promise<string | null> {
  const location = await readJson<{ cluster: string; dataDir: string }>(join(dataDir, LOCATION_FILE));
  if (location === null)
    return (await exists(join(dataDir, DATA_DIR_ENTRIES.cluster))) ? join(dataDir, DATA_DIR_ENTRIES.cluster) : null;
  if (!(await exists(location.cluster))) {
    throw new StartRefusal(
      `${join(dataDir, LOCATION_FILE)} says that the database lies in ${location.cluster}, and there is nothing: ` +
        'put it back, or remove that file to begin with an empty database.',
    );
  }
  const other = await readJson<{ cluster: string }>(join(location.dataDir, LOCATION_FILE));
  if (location.dataDir !== dataDir && other?.cluster === location.cluster) {
    throw new StartRefusal(
      `${dataDir} is a copy of ${location.dataDir}, whose database lies in ${location.cluster}: remove ` +
        `${join(dataDir, LOCATION_FILE)} to begin with an empty database, or use DATA_DIR=${location.dataDir}.`,
    );
  }
  return location.cluster;
}

/**
 * To be asked where there is no cluster, before one is made: an empty database in place of one that is lost would
 * serve, and know no key.
 *
 * @throws StartRefusal when there was a cluster once
 */
export async function refuseToReplaceLost(dataDir: string): Promise<void> {
  const marker = join(dataDir, CREATED_FILE);
  if (!(await exists(marker))) return;
  throw new StartRefusal(
    `The database of ${dataDir} is gone: put ${join(dataDir, DATA_DIR_ENTRIES.cluster)} back, or restore a backup; or remove ${marker} to ` +
      'begin with an empty database.',
  );
}

/** Forgets that there was a database: what a restore makes takes its place. */
export async function forgetCreated(dataDir: string): Promise<void> {
  await rm(join(dataDir, CREATED_FILE), { force: true });
}

/** Notes that the data directory has a database, for `refuseToReplaceLost`. */
export async function noteCreated(dataDir: string): Promise<void> {
  const marker = join(dataDir, CREATED_FILE);
  if (!(await exists(marker))) await writePrivateFile(marker, '');
}

/** @throws Error with a way out if the cluster was made by another major version than the binaries'. */
export async function checkVersion(cluster: string, major: number): Promise<void> {
  const found = (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim();
  if (found === String(major)) return;
  throw new StartRefusal(
    `The data directory ${cluster} was made by PostgreSQL ${found}, and this release brings PostgreSQL ${major}: ` +
      `start the release that made it, dump the database "${DATABASE}" and restore it into an empty DATA_DIR; or run ` +
      `a PostgreSQL ${found} of your own on it and set DATABASE_URL; or set DATA_DIR to an empty directory to begin anew.`,
  );
}

/** @throws Error if we may not read the cluster, which PostgreSQL would say less clearly. */
export async function checkOwner(cluster: string, account: Account | null): Promise<void> {
  const { uid } = await lstat(cluster);
  if (account !== null) {
    // A cluster that root copied or restored: PostgreSQL wants to own it.
    if (uid !== account.uid) await chownTree(cluster, account);
  } else if (process.getuid && uid !== process.getuid()) {
    throw new StartRefusal(
      `The data directory ${cluster} belongs to another user (uid ${uid}): start as that user or as root.`,
    );
  }
}

async function chownTree(path: string, account: Account): Promise<void> {
  await lchown(path, account.uid, account.gid);
  if (!(await lstat(path)).isDirectory()) return;
  for (const name of await readdir(path)) await chownTree(join(path, name), account);
}

/**
 * The passwords of an existing cluster.
 *
 * @throws Error if the file is missing or unreadable: without it nobody gets into the database.
 */
export async function getCredentials(dataDir: string): Promise<Credentials> {
  const path = join(dataDir, CREDENTIALS_FILE);
  const credentials = await readJson<Credentials>(path);
  if (credentials?.ownerPassword && credentials.appPassword) return credentials;
  throw new StartRefusal(
    `${path} is missing or damaged, and the database beside it cannot be opened without it: restore it from a backup.`,
  );
}

/** Makes a new cluster with passwords of its own. A crash on the way leaves nothing that a next start takes for one. */
export async function createCluster(
  dataDir: string,
  binaries: Binaries,
  account: Account | null,
  durable: boolean,
): Promise<string> {
  const parent = await chooseParent(dataDir, account);
  const cluster = join(
    parent,
    parent === dataDir ? DATA_DIR_ENTRIES.cluster : `${basename(dataDir).replace(/^\.+/, '')}-${randomUUID()}`,
  );
  const credentials = { ownerPassword: randomPassword(), appPassword: randomPassword() };
  await writePrivateFile(join(dataDir, CREDENTIALS_FILE), JSON.stringify(credentials, null, 2) + '\n');
  await initialise(cluster, credentials.ownerPassword, binaries, account, durable);
  if (parent !== dataDir) {
    await writePrivateFile(join(dataDir, LOCATION_FILE), JSON.stringify({ cluster, dataDir }, null, 2) + '\n');
  }
  return cluster;
}

/** Removes the cluster of a data directory with its passwords. Nothing may run on it. */
export async function removeCluster(dataDir: string): Promise<void> {
  // A pointer to a cluster that is gone is what a removal that was killed leaves.
  const cluster = await findCluster(dataDir).catch(() => null);
  if (cluster !== null) await rm(cluster, { recursive: true, force: true });
  for (const name of [LOCATION_FILE, CREDENTIALS_FILE]) await rm(join(dataDir, name), { force: true });
}

/** The data directory, or, if the account cannot enter it, a folder it can. */
async function chooseParent(dataDir: string, account: Account | null): Promise<string> {
  if (account === null || canEnter(account, dataDir)) return dataDir;
  const { mode } = await lstat(dataDir);
  if ((mode & 0o077) === 0 && canEnter(account, dirname(dataDir))) {
    // Closed to everyone but us: let the one account pass through it, without letting it list the folder.
    await chown(dataDir, -1, account.gid);
    await chmod(dataDir, 0o710);
    return dataDir;
  }
  const parent = join(SYSTEM_DIRECTORY, 'clusters');
  try {
    await mkdir(parent, { recursive: true });
    await chmod(SYSTEM_DIRECTORY, 0o755);
    await chmod(parent, 0o711);
  } catch (cause) {
    throw new StartRefusal(
      `PostgreSQL runs as ${account.name}, who cannot enter ${dataDir}, and ${parent} cannot be made: set DATA_DIR ` +
        'to a directory outside of closed home directories, or start the server as another user.',
      { cause },
    );
  }
  if (canEnter(account, parent)) return parent;
  throw new StartRefusal(
    `PostgreSQL runs as ${account.name}, who can enter neither ${dataDir} nor ${parent}: set DATA_DIR to a directory ` +
      'open to that account, or start the server as another user.',
  );
}

async function initialise(
  cluster: string,
  password: string,
  binaries: Binaries,
  account: Account | null,
  durable: boolean,
): Promise<void> {
  const [unfinished, passwordFile] = [`${cluster}.new`, `${cluster}.password`];
  try {
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o700 });
    await writePrivateFile(passwordFile, password);
    if (account !== null) {
      for (const path of [unfinished, passwordFile]) await chown(path, account.uid, account.gid);
    }
    await runInitdb(binaries, account, [
      `--pgdata=${unfinished}`,
      `--username=${OWNER_ROLE}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--data-checksums',
      ...(durable ? [] : ['--no-sync']),
    ]);
    await rename(unfinished, cluster);
    await syncDirectory(dirname(cluster));
  } finally {
    await rm(passwordFile, { force: true });
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function runInitdb(binaries: Binaries, account: Account | null, args: string[]): Promise<void> {
  try {
    await promisify(execFile)(executable(binaries.directory, 'initdb'), args, binaryOptions(account));
  } catch (cause) {
    const { stderr, message } = cause as Error & { stderr?: string };
    throw new StartRefusal(`Creating the database failed: ${stderr?.trim() || message}`, { cause });
  }
}

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
  // somebody else: PostgreSQL would refuse to start beside either. Only the pid is replaced: PostgreSQL still checks
  // the shared memory named in the file, so a backend that outlived its server keeps a second one out.
  if (signalReaches(pid)) await writeClusterFile(cluster, path, [NOBODYS_PID, ...lines.slice(1)].join('\n'));
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
    // We may look into every process of the account that owns the cluster, so this is somebody else's.
    return false;
  }
  const listed = await promisify(execFile)('ps', ['-o', 'args=', '-p', String(pid)]).catch(() => null);
  return listed === null || listed.stdout.includes(cluster);
}

/** Written whole or not at all, and on disk when this returns. */
async function writePrivateFile(path: string, content: string): Promise<void> {
  const unfinished = `${path}.unfinished`;
  await rm(unfinished, { force: true });
  const file = await open(unfinished, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, path);
  await syncDirectory(dirname(path));
}

async function syncDirectory(path: string): Promise<void> {
  // Windows cannot open a directory; its renames are journaled.
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}

async function readJson<T>(path: string): Promise<T | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

const exists = async (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );

const randomPassword = (): string => randomBytes(24).toString('base64url');
