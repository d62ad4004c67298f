import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, chown, lchown, lstat, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Application, ownerRoleOf, systemDirectoryOf } from './application.js';
import type { Account, Binaries } from './binaries.js';
import { binaryOptions, canEnter, executable } from './binaries.js';
import { exists, readJson, syncDirectory, writePrivateFile } from './private-file.js';

/** Names of what this package keeps in a data directory. */
export const CLUSTER_ENTRIES = {
  /** The cluster. */
  cluster: 'postgres',
  /** Where the cluster is, if it cannot be in the data directory. */
  clusterLocation: 'postgres-location.json',
} as const;

/** The passwords of the two roles, kept in `postgres-credentials.json` (mode 0600). */
export interface Credentials {
  ownerPassword: string;
  appPassword: string;
}

const CREDENTIALS_FILE = 'postgres-credentials.json';
/** Written once a cluster has been made: without the cluster beside it, something has been lost. */
const CREATED_FILE = 'postgres-created';
/** Written only if the cluster cannot lie in the data directory; once there, it decides. */
const LOCATION_FILE = CLUSTER_ENTRIES.clusterLocation;
/**
 * Where this data directory's cluster lies, or null if it has none yet.
 *
 * @throws Refusal of the application if the data directory points to a cluster that is gone, or that belongs to the
 * data directory it was copied from.
 */
export async function findCluster({ settings, Refusal }: Application, dataDir: string): Promise<string | null> {
  const location = await readJson<{ cluster: string; dataDir: string }>(join(dataDir, LOCATION_FILE));
  if (location === null)
    return (await exists(join(dataDir, CLUSTER_ENTRIES.cluster))) ? join(dataDir, CLUSTER_ENTRIES.cluster) : null;
  if (!(await exists(location.cluster))) {
    throw new Refusal(
      `${join(dataDir, LOCATION_FILE)} says that the database lies in ${location.cluster}, and there is nothing: ` +
        'put it back, or remove that file to begin with an empty database.',
    );
  }
  const other = await readJson<{ cluster: string }>(join(location.dataDir, LOCATION_FILE));
  if (location.dataDir !== dataDir && other?.cluster === location.cluster) {
    throw new Refusal(
      `${dataDir} is a copy of ${location.dataDir}, whose database lies in ${location.cluster}: remove ` +
        `${join(dataDir, LOCATION_FILE)} to begin with an empty database, or use ${settings.dataDir}=${location.dataDir}.`,
    );
  }
  return location.cluster;
}

/**
 * To be asked where there is no cluster, before one is made: an empty database in place of one that is lost would
 * serve, and know no key.
 *
 * @throws Refusal of the application when there was a cluster once
 */
export async function refuseToReplaceLost({ Refusal }: Application, dataDir: string): Promise<void> {
  const marker = join(dataDir, CREATED_FILE);
  if (!(await exists(marker))) return;
  throw new Refusal(
    `The database of ${dataDir} is gone: put ${join(dataDir, CLUSTER_ENTRIES.cluster)} back, or restore a backup; or remove ${marker} to ` +
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

/** @throws Refusal of the application, with a way out, if another major version than the binaries' made the cluster. */
export async function checkVersion(
  { name, settings, Refusal }: Application,
  cluster: string,
  major: number,
): Promise<void> {
  const found = (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim();
  if (found === String(major)) return;
  throw new Refusal(
    `The data directory ${cluster} was made by PostgreSQL ${found}, and this release brings PostgreSQL ${major}: ` +
      `start the release that made it, dump the database "${name}" and restore it into an empty ${settings.dataDir}; or ` +
      `run a PostgreSQL ${found} of your own on it and set ${settings.url}; or set ${settings.dataDir} to an empty ` +
      'directory to begin anew.',
  );
}

/** @throws Refusal of the application if we may not read the cluster, which PostgreSQL would say less clearly. */
export async function checkOwner({ Refusal }: Application, cluster: string, account: Account | null): Promise<void> {
  const { uid } = await lstat(cluster);
  if (account !== null) {
    // A cluster that root copied or restored: PostgreSQL wants to own it.
    if (uid !== account.uid) await chownTree(cluster, account);
  } else if (process.getuid && uid !== process.getuid()) {
    throw new Refusal(
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
 * @throws Refusal of the application if the file is missing or unreadable: without it the database cannot be entered.
 */
export async function getCredentials({ Refusal }: Application, dataDir: string): Promise<Credentials> {
  const path = join(dataDir, CREDENTIALS_FILE);
  const credentials = await readJson<Credentials>(path);
  if (credentials?.ownerPassword && credentials.appPassword) return credentials;
  throw new Refusal(
    `${path} is missing or damaged, and the database beside it cannot be opened without it: restore it from a backup.`,
  );
}

/** With what a cluster is made. */
export interface Making {
  readonly binaries: Binaries;
  readonly account: Account | null;
  /** Whether it has to survive a crash of the machine; tests do without. */
  readonly isDurable: boolean;
}

/** Makes a new cluster with passwords of its own. A crash on the way leaves nothing that a next start takes for one. */
export async function createCluster(
  application: Application,
  dataDir: string,
  { binaries, account, isDurable }: Making,
): Promise<string> {
  const parent = await chooseParent(application, dataDir, account);
  const cluster = join(
    parent,
    parent === dataDir ? CLUSTER_ENTRIES.cluster : `${basename(dataDir).replace(/^\.+/, '')}-${randomUUID()}`,
  );
  const credentials = { ownerPassword: randomPassword(), appPassword: randomPassword() };
  await writePrivateFile(join(dataDir, CREDENTIALS_FILE), JSON.stringify(credentials, null, 2) + '\n');
  await initialise(application, cluster, credentials.ownerPassword, { binaries, account, isDurable });
  if (parent !== dataDir) {
    await writePrivateFile(join(dataDir, LOCATION_FILE), JSON.stringify({ cluster, dataDir }, null, 2) + '\n');
  }
  return cluster;
}

/** Removes the cluster of a data directory with its passwords. Nothing may run on it. */
export async function removeCluster(application: Application, dataDir: string): Promise<void> {
  // A pointer to a cluster that is gone is what a removal that was killed leaves.
  const cluster = await findCluster(application, dataDir).catch(() => null);
  if (cluster !== null) await rm(cluster, { recursive: true, force: true });
  for (const name of [LOCATION_FILE, CREDENTIALS_FILE]) await rm(join(dataDir, name), { force: true });
}

/** The data directory, or, if the account cannot enter it, a folder it can. */
async function chooseParent(application: Application, dataDir: string, account: Account | null): Promise<string> {
  const { settings, Refusal } = application;
  if (account === null || canEnter(account, dataDir)) return dataDir;
  const { mode } = await lstat(dataDir);
  if ((mode & 0o077) === 0 && canEnter(account, dirname(dataDir))) {
    // Closed to everyone but us: let the one account pass through it, without letting it list the folder.
    await chown(dataDir, -1, account.gid);
    await chmod(dataDir, 0o710);
    return dataDir;
  }
  const systemDirectory = systemDirectoryOf(application);
  const parent = join(systemDirectory, 'clusters');
  try {
    await mkdir(parent, { recursive: true });
    await chmod(systemDirectory, 0o755);
    await chmod(parent, 0o711);
  } catch (cause) {
    throw new Refusal(
      `PostgreSQL runs as ${account.name}, who cannot enter ${dataDir}, and ${parent} cannot be made: set ` +
        `${settings.dataDir} to a directory outside of closed home directories, or start the server as another user.`,
      { cause },
    );
  }
  if (canEnter(account, parent)) return parent;
  throw new Refusal(
    `PostgreSQL runs as ${account.name}, who can enter neither ${dataDir} nor ${parent}: set ${settings.dataDir} ` +
      'to a directory open to that account, or start the server as another user.',
  );
}

async function initialise(
  application: Application,
  cluster: string,
  password: string,
  { binaries, account, isDurable }: Making,
): Promise<void> {
  const [unfinished, passwordFile] = [`${cluster}.new`, `${cluster}.password`];
  try {
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o700 });
    await writePrivateFile(passwordFile, password);
    if (account !== null) {
      for (const path of [unfinished, passwordFile]) await chown(path, account.uid, account.gid);
    }
    await runInitdb(application, binaries, account, [
      `--pgdata=${unfinished}`,
      `--username=${ownerRoleOf(application)}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--data-checksums',
      ...(isDurable ? [] : ['--no-sync']),
    ]);
    await rename(unfinished, cluster);
    await syncDirectory(dirname(cluster));
  } finally {
    await rm(passwordFile, { force: true });
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function runInitdb(
  { Refusal }: Application,
  binaries: Binaries,
  account: Account | null,
  args: string[],
): Promise<void> {
  try {
    await promisify(execFile)(executable(binaries.directory, 'initdb'), args, binaryOptions(account));
  } catch (cause) {
    const { stderr, message } = cause as Error & { stderr?: string };
    throw new Refusal(`Creating the database failed: ${stderr?.trim() || message}`, { cause });
  }
}

const randomPassword = (): string => randomBytes(24).toString('base64url');
