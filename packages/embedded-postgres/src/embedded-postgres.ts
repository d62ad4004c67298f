import { access, constants, mkdir, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Application, appRoleOf, ownerRoleOf } from './application.js';
import { chooseAccount, prepareBinaries } from './binaries.js';
import type { Credentials } from './cluster.js';
import {
  checkOwner,
  checkVersion,
  createCluster,
  findCluster,
  getCredentials,
  noteCreated,
  refuseToReplaceLost,
} from './cluster.js';
import { addReference, countReferences, leaveToDirectoryOwner, withLock } from './lock.js';
import { findLastPort, findPostmaster, isPostmaster, type Postmaster } from './postmaster.js';
import { adopt, startServer, stopServer, withClient } from './server.js';

/** What lies in the data directory: notes of the processes that use the server, and their lock. */
const REFERENCES = 'postgres-run';

/** What a server is wanted for, and where it lies. */
export interface EmbeddedPostgresOptions {
  application: Application;
  /** Holds the cluster, its passwords and its log. Made (mode 0700) if absent. */
  dataDir: string;
  /** Gets one sentence for each thing worth telling an operator. */
  log?: (line: string) => void;
  /** PostgreSQL settings over the launcher's own; they count for a server that this call starts. */
  settings?: Record<string, string>;
}

/** The server as one of its users holds it. */
export interface EmbeddedPostgres {
  /** Superuser and owner of the database: for migrations. */
  ownerUrl: string;
  /** The role with no right but those the migrations grant. */
  appUrl: string;
  /** Whether the server ran already: left behind by a killed process, or shared with a living one. */
  adopted: boolean;
  /** The postmaster's process id, as of the start or of the last `restart`. */
  readonly pid: number;
  /** Where it listens, on loopback. */
  readonly port: number;
  /** Whether its process runs and its files are there. */
  isRunning(): Promise<boolean>;
  /**
   * Starts a server that has died again, on the port it had, so that pools find it; does nothing where another process
   * has done so. Never makes a new database.
   *
   * @throws Error in words for an operator
   */
  restart(): Promise<{ pid: number; startedHere: boolean }>;
  /** Gives the server back; the last living user's call stops it, and returns when it has ended. Safe to repeat. */
  stop(): Promise<void>;
}

/**
 * Starts the embedded PostgreSQL of a data directory, or adopts the one that runs there already: never two on one
 * directory, whatever was killed before and however many processes call at once. The server listens on loopback
 * alone, on a port of its own choice, and outlives this process until `stop()`.
 *
 * @throws Refusal of the application: no binaries for this platform, data of another major version, a directory
 * that cannot be used, a server that does not get ready within a minute.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = await openDataDirectory(options);
  const references = join(dataDir, REFERENCES);
  return withLock(options.application, references, async () => {
    const running = await ensureRunning(dataDir, options);
    return new Handle(dataDir, options, running, await addReference(references));
  });
}

class Handle implements EmbeddedPostgres {
  readonly ownerUrl: string;
  readonly appUrl: string;
  readonly adopted: boolean;
  readonly port: number;
  private readonly references: string;
  private stopped: Promise<void> | undefined;

  constructor(
    private readonly dataDir: string,
    private readonly options: EmbeddedPostgresOptions,
    private running: Running,
    private readonly reference: string,
  ) {
    this.references = join(dataDir, REFERENCES);
    this.ownerUrl = urlOf(options.application, ownerRoleOf, running.credentials.ownerPassword, running.port);
    this.appUrl = urlOf(options.application, appRoleOf, running.credentials.appPassword, running.port);
    this.adopted = running.adopted;
    this.port = running.port;
  }

  get pid(): number {
    return this.running.pid;
  }

  isRunning(): Promise<boolean> {
    return isPostmaster(this.running.cluster, this.running.pid);
  }

  restart(): Promise<{ pid: number; startedHere: boolean }> {
    return withLock(this.options.application, this.references, async () => {
      const running = await ensureRunning(this.dataDir, this.options, this.running);
      if (running.port !== this.port) {
        throw new Error(
          `The embedded PostgreSQL runs on port ${running.port} now, no longer on ${this.port}: start this server again.`,
        );
      }
      this.running = running;
      return { pid: running.pid, startedHere: !running.adopted };
    });
  }

  stop(): Promise<void> {
    return (this.stopped ??= giveBack(this.options, this.references, this.running.cluster, this.reference));
  }
}

/**
 * Stops the server that a data directory's dead users left behind. Returns false, and leaves it alone, if a living
 * process uses it. A directory that is absent or has no cluster counts as stopped.
 */
export async function stopAbandonedPostgres(application: Application, dataDir: string): Promise<boolean> {
  const references = join(dataDir, REFERENCES);
  if ((await stat(references).catch(() => null)) === null) return true;
  return withLock(application, references, async () => {
    if ((await countReferences(references)) > 0) return false;
    const cluster = await findCluster(application, dataDir);
    const postmaster = cluster === null ? null : await findPostmaster(cluster);
    if (postmaster !== null) await stopServer(application, postmaster.pid);
    return true;
  });
}

async function openDataDirectory({ application, dataDir: path }: EmbeddedPostgresOptions): Promise<string> {
  const { settings, Refusal } = application;
  try {
    await mkdir(dirname(resolve(path)), { recursive: true });
    await mkdir(path, { recursive: true, mode: 0o700 });
    const references = join(path, REFERENCES);
    await mkdir(references, { recursive: true, mode: 0o700 });
    await leaveToDirectoryOwner(references);
    for (const directory of [path, references])
      await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return await realpath(path);
  } catch (cause) {
    throw new Refusal(
      `The data directory ${resolve(path)} cannot be used (${(cause as Error).message}): start as the user who owns ` +
        `it, set ${settings.dataDir} to another directory, or set ${settings.url} to a PostgreSQL of your own.`,
      { cause },
    );
  }
}

interface Running extends Postmaster {
  cluster: string;
  credentials: Credentials;
  adopted: boolean;
}

/** @param before the server that was known to run: it must be there still, and comes back on its port */
async function ensureRunning(
  dataDir: string,
  { application, log, settings = {} }: EmbeddedPostgresOptions,
  before?: Running,
): Promise<Running> {
  const existing = await findCluster(application, dataDir);
  if (before !== undefined && existing !== before.cluster) {
    throw new Error(
      `The database in ${before.cluster} is gone: put its files back, or restore a backup, and start again.`,
    );
  }
  const account = await chooseAccount(application, existing);
  const binaries = await prepareBinaries(application, account, dataDir);
  if (existing !== null) {
    await checkVersion(application, existing, binaries.major);
    await checkOwner(application, existing, account);
    const adopted = await adoptRunning(application, dataDir, existing);
    if (adopted !== null) {
      log?.(`Adopted the PostgreSQL that runs on ${existing} (process ${adopted.pid}).`);
      return adopted;
    }
  } else {
    await refuseToReplaceLost(application, dataDir);
    log?.(`Creating a PostgreSQL ${binaries.version} database in ${dataDir}.`);
  }
  const making = { binaries, account, isDurable: settings['fsync'] !== 'off' };
  const cluster = existing ?? (await createCluster(application, dataDir, making));
  const credentials = await getCredentials(application, dataDir);
  const started = await startServer({
    application,
    cluster,
    credentials,
    binaries,
    account,
    settings,
    logFile: join(dataDir, 'postgres.log'),
    port: before?.port,
    lastPort: await findLastPort(cluster),
  });
  await ensureRoles(application, started.port, credentials).catch(async (error: unknown) => {
    await stopServer(application, started.pid);
    throw error;
  });
  await noteCreated(dataDir);
  log?.(`PostgreSQL ${binaries.version} runs on 127.0.0.1:${started.port} (process ${started.pid}).`);
  return { ...started, cluster, credentials, adopted: false };
}

/** The server that runs on the cluster already; null where none does. */
async function adoptRunning(application: Application, dataDir: string, cluster: string): Promise<Running | null> {
  const credentials = await getCredentials(application, dataDir);
  const left = await findPostmaster(cluster);
  const adopted = left === null ? null : await adopt(application, cluster, left, credentials);
  return adopted === null ? null : { ...adopted, cluster, credentials, adopted: true };
}

/** Completes what a first start has to do once, also if that one was killed on the way. */
async function ensureRoles(application: Application, port: number, credentials: Credentials): Promise<void> {
  const [database, role] = [application.name, appRoleOf(application)];
  await withClient(application, port, credentials, async (client) => {
    const roles = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
    if (roles.rowCount === 0) {
      const password = client.escapeLiteral(credentials.appPassword);
      await client.query(`CREATE ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD ${password}`);
    }
    const databases = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (databases.rowCount === 0) await client.query(`CREATE DATABASE ${database}`);
  });
}

async function giveBack(
  { application, log }: EmbeddedPostgresOptions,
  references: string,
  cluster: string,
  reference: string,
): Promise<void> {
  await withLock(application, references, async () => {
    await rm(reference, { force: true });
    if ((await countReferences(references)) > 0) return;
    const postmaster = await findPostmaster(cluster);
    if (postmaster === null) return;
    await stopServer(application, postmaster.pid);
    log?.(`PostgreSQL (process ${postmaster.pid}) has stopped.`);
  });
}

function urlOf(
  application: Application,
  roleOf: (application: Application) => string,
  password: string,
  port: number,
): string {
  return `postgresql://${roleOf(application)}:${password}@127.0.0.1:${port}/${application.name}`;
}
