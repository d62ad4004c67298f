import { execFile, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { access, constants, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { StartRefusal } from '../common/start-refusal.js';
import type { Account, Binaries } from './embedded-binaries.js';
import { binaryOptions, chooseAccount, executable, prepareBinaries } from './embedded-binaries.js';
import type { Credentials, Postmaster } from './embedded-cluster.js';
import {
  APP_ROLE,
  checkOwner,
  checkVersion,
  createCluster,
  DATABASE,
  findCluster,
  findLastPort,
  findPostmaster,
  getCredentials,
  isPostmaster,
  noteCreated,
  OWNER_ROLE,
  refuseToReplaceLost,
} from './embedded-cluster.js';
import { addReference, countReferences, findProcess, leaveToDirectoryOwner, withLock } from './embedded-lock.js';

export interface EmbeddedPostgresOptions {
  /** Holds the cluster, its passwords and its log. Made (mode 0700) if absent. */
  dataDir: string;
  /** Gets one sentence for each thing worth telling an operator. */
  log?: (line: string) => void;
  /** PostgreSQL settings over the launcher's own; they count for a server that this call starts. */
  settings?: Record<string, string>;
}

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

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 50;
/** Longer than one start with crash recovery, which a waiting second process has to sit out. */
const LOCK_TIMEOUT_MS = 120_000;
const FAST_STOP_TIMEOUT_MS = 10_000;
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

const MEBIBYTE = 1024 * 1024;

/**
 * An eighth of the memory this process may use, at least 128 MB and at most 2 GB: enough for the lists of a million
 * keys to be read from it, and taken page by page as data is read, not at the start.
 */
const SHARED_BUFFERS_MB = Math.floor(
  Math.min(Math.max(Math.min(totalmem(), process.constrainedMemory() || Infinity) / 8 / MEBIBYTE, 128), 2048),
);

/**
 * For a small machine, never at the price of durability. Errors of statements are logged by the server, once. No
 * statement runs long enough for a compiler to pay, none may take a second core from the verifies, and a page that is
 * not in memory is no further away than the next.
 */
const SETTINGS: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  shared_buffers: `${SHARED_BUFFERS_MB}MB`,
  work_mem: '16MB',
  random_page_cost: '1.1',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  max_connections: '200',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_min_messages: 'log',
  log_checkpoints: 'off',
  logging_collector: 'off',
};

/**
 * Starts the embedded PostgreSQL of a data directory, or adopts the one that runs there already: never two on one
 * directory, whatever was killed before and however many processes call at once. The server listens on loopback
 * alone, on a port of its own choice, and outlives this process until `stop()`.
 *
 * @throws Error in words for an operator: no binaries for this platform, data of another major version, a directory
 * that cannot be used, a server that does not get ready within a minute.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = await openDataDirectory(options.dataDir);
  const references = join(dataDir, 'postgres-run');
  return withLock(references, LOCK_TIMEOUT_MS, async () => {
    const running = await ensureRunning(dataDir, options);
    return new Handle(dataDir, options, running, await addReference(references));
  });
}

/** The server as one of its users holds it. */
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
    this.references = join(dataDir, 'postgres-run');
    this.ownerUrl = urlOf(OWNER_ROLE, running.credentials.ownerPassword, running.port);
    this.appUrl = urlOf(APP_ROLE, running.credentials.appPassword, running.port);
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
    return withLock(this.references, LOCK_TIMEOUT_MS, async () => {
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
    return (this.stopped ??= giveBack(this.references, this.running.cluster, this.reference, this.options.log));
  }
}

/**
 * Stops the server that a data directory's dead users left behind. Returns false, and leaves it alone, if a living
 * process uses it. A directory that is absent or has no cluster counts as stopped.
 */
export async function stopAbandonedPostgres(dataDir: string): Promise<boolean> {
  const references = join(dataDir, 'postgres-run');
  if ((await stat(references).catch(() => null)) === null) return true;
  return withLock(references, LOCK_TIMEOUT_MS, async () => {
    if ((await countReferences(references)) > 0) return false;
    const cluster = await findCluster(dataDir);
    const postmaster = cluster === null ? null : await findPostmaster(cluster);
    if (postmaster !== null) await stopServer(postmaster.pid);
    return true;
  });
}

async function openDataDirectory(path: string): Promise<string> {
  try {
    await mkdir(dirname(resolve(path)), { recursive: true });
    await mkdir(path, { recursive: true, mode: 0o700 });
    const references = join(path, 'postgres-run');
    await mkdir(references, { recursive: true, mode: 0o700 });
    await leaveToDirectoryOwner(references);
    for (const directory of [path, references])
      await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return await realpath(path);
  } catch (cause) {
    throw new StartRefusal(
      `The data directory ${resolve(path)} cannot be used (${(cause as Error).message}): start as the user who owns ` +
        'it, set DATA_DIR to another directory, or set DATABASE_URL to a PostgreSQL of your own.',
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
  { log, settings = {} }: EmbeddedPostgresOptions,
  before?: Running,
): Promise<Running> {
  const existing = await findCluster(dataDir);
  if (before !== undefined && existing !== before.cluster) {
    throw new Error(
      `The database in ${before.cluster} is gone: put its files back, or restore a backup, and start again.`,
    );
  }
  const account = await chooseAccount(existing);
  const binaries = await prepareBinaries(account, dataDir);
  if (existing !== null) {
    await checkVersion(existing, binaries.major);
    await checkOwner(existing, account);
    const credentials = await getCredentials(dataDir);
    const left = await findPostmaster(existing);
    if (left !== null) {
      const adopted = await adopt(existing, left, credentials);
      if (adopted !== null) {
        log?.(`Adopted the PostgreSQL that runs on ${existing} (process ${adopted.pid}).`);
        return { ...adopted, cluster: existing, credentials, adopted: true };
      }
    }
  } else {
    await refuseToReplaceLost(dataDir);
    log?.(`Creating a PostgreSQL ${binaries.version} database in ${dataDir}.`);
  }
  const cluster = existing ?? (await createCluster(dataDir, binaries, account, settings['fsync'] !== 'off'));
  const credentials = await getCredentials(dataDir);
  const launch = {
    cluster,
    credentials,
    binaries,
    account,
    settings,
    logFile: join(dataDir, 'postgres.log'),
    port: before?.port,
    lastPort: await findLastPort(cluster),
  };
  const started = await startServer(launch);
  await ensureRoles(started.port, credentials).catch(async (error: unknown) => {
    await stopServer(started.pid);
    throw error;
  });
  await noteCreated(dataDir);
  log?.(`PostgreSQL ${binaries.version} runs on 127.0.0.1:${started.port} (process ${started.pid}).`);
  return { ...started, cluster, credentials, adopted: false };
}

/** Waits until the server answers for this very cluster; null if it ended instead. */
async function adopt(cluster: string, left: Postmaster, credentials: Credentials): Promise<Postmaster | null> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let reason = 'it has not opened its port';
  while (performance.now() < deadline) {
    const found = await findPostmaster(cluster);
    if (found === null) return null;
    if (found.port > 0) {
      const answer = await tryToConnect(found.port, credentials);
      if (answer === null) return found;
      reason = answer;
    }
    await sleep(READY_POLL_MS);
  }
  throw new StartRefusal(
    `A PostgreSQL (process ${left.pid}) runs on ${cluster} and does not let us in (${reason}): end that process ` +
      'and start again.',
  );
}

interface Launch {
  cluster: string;
  credentials: Credentials;
  binaries: Binaries;
  account: Account | null;
  settings: Record<string, string>;
  logFile: string;
  /** Where it must listen; undefined: anywhere. */
  port: number | undefined;
  /** Where the pools of living processes look for it; null: nowhere. */
  lastPort: number | null;
}

/** Starts a server and waits until it lets us in; tries again where a port was snatched or a dead server lingers. */
async function startServer(launch: Launch): Promise<Postmaster> {
  await rotateLog(launch.logFile);
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let preferred = launch.lastPort;
  for (;;) {
    const logged = (await stat(launch.logFile).catch(() => null))?.size ?? 0;
    const port = launch.port ?? preferred ?? (await probeFreePort());
    const pid = await spawnServer(launch, port);
    const problem = await waitUntilReady(pid, port, launch.credentials, deadline);
    if (problem === null) return { pid, port };
    const output = (await readFile(launch.logFile, 'utf8')).slice(logged).trim();
    const isTaken = /address already in use|could not create any TCP\/IP sockets/i.test(output);
    if (isTaken) preferred = null;
    const passing = isTaken || /shared memory block .* still in use/i.test(output);
    if (!passing || performance.now() > deadline) {
      throw new StartRefusal(
        `PostgreSQL did not start on ${launch.cluster} (${lastWords(output) ?? problem}): see ${launch.logFile}.`,
      );
    }
    await sleep(READY_POLL_MS);
  }
}

/** Why a server ended, as it wrote it itself. */
function lastWords(output: string): string | null {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const fatal = lines.findLast((line) => /\b(FATAL|PANIC):/.test(line))?.replace(/^.*?\b(FATAL|PANIC):\s*/, '');
  // Before it can log, it writes plain lines.
  return fatal ?? lines.at(-1)?.trim() ?? null;
}

async function spawnServer({ binaries, account, cluster, settings, logFile }: Launch, port: number): Promise<number> {
  const chosen = Object.entries({ ...SETTINGS, ...settings, port: String(port) });
  const args = ['-D', cluster, ...chosen.flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const output = await open(logFile, 'a', 0o600);
  await leaveToDirectoryOwner(logFile);
  try {
    const server = spawn(executable(binaries.directory, 'postgres'), args, {
      ...binaryOptions(account),
      // In a session of its own: a Ctrl-C in our terminal must not stop the database before we have drained.
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
    });
    await new Promise<void>((spawned, failed) => server.once('spawn', spawned).once('error', failed));
    server.unref();
    if (server.pid === undefined) throw new Error('PostgreSQL has no process id.');
    return server.pid;
  } finally {
    await output.close();
  }
}

async function waitUntilReady(
  pid: number,
  port: number,
  credentials: Credentials,
  deadline: number,
): Promise<string | null> {
  let reason: string | null = 'it was not tried';
  while (performance.now() < deadline) {
    reason = await tryToConnect(port, credentials);
    if (reason === null) return null;
    if ((await findProcess(pid)) === null) return 'it ended';
    await sleep(READY_POLL_MS);
  }
  await stopServer(pid);
  return `not ready after ${READY_TIMEOUT_MS / 1_000} s: ${reason}`;
}

/** Null if the owner gets in, else why not. */
async function tryToConnect(port: number, credentials: Credentials): Promise<string | null> {
  return withClient(port, credentials, async () => null).catch((error: unknown) => (error as Error).message);
}

async function withClient<T>(port: number, credentials: Credentials, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: OWNER_ROLE,
    password: credentials.ownerPassword,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: 5_000,
  });
  // A connection that is lost between two statements is reported by the next one; unheard it would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Completes what a first start has to do once, also if that one was killed on the way. */
async function ensureRoles(port: number, credentials: Credentials): Promise<void> {
  await withClient(port, credentials, async (client) => {
    const roles = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [APP_ROLE]);
    if (roles.rowCount === 0) {
      const password = client.escapeLiteral(credentials.appPassword);
      await client.query(`CREATE ROLE ${APP_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD ${password}`);
    }
    const databases = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (databases.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  });
}

async function giveBack(
  references: string,
  cluster: string,
  reference: string,
  log?: (line: string) => void,
): Promise<void> {
  await withLock(references, LOCK_TIMEOUT_MS, async () => {
    await rm(reference, { force: true });
    if ((await countReferences(references)) > 0) return;
    const postmaster = await findPostmaster(cluster);
    if (postmaster === null) return;
    await stopServer(postmaster.pid);
    log?.(`PostgreSQL (process ${postmaster.pid}) has stopped.`);
  });
}

/** A fast shutdown; after 10 s an immediate one, which loses nothing committed and costs the next start a recovery. */
async function stopServer(pid: number): Promise<void> {
  await signalServer(pid, 'SIGINT');
  if (await hasEnded(pid, FAST_STOP_TIMEOUT_MS)) return;
  await signalServer(pid, 'SIGQUIT');
  if (await hasEnded(pid, FAST_STOP_TIMEOUT_MS)) return;
  throw new Error(`PostgreSQL (process ${pid}) does not stop.`);
}

async function signalServer(pid: number, signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
  if (process.platform === 'win32') {
    // Windows has no signals; pg_ctl sends them the way a server listens to there.
    const { directory } = await prepareBinaries(null, '');
    const name = signal.slice('SIG'.length);
    await promisify(execFile)(executable(directory, 'pg_ctl'), ['kill', name, String(pid)]).catch(() => undefined);
    return;
  }
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function hasEnded(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while ((await findProcess(pid)) !== null) {
    if (performance.now() > deadline) return false;
    await sleep(READY_POLL_MS / 2);
  }
  return true;
}

/** One old log is kept; a running server writes little (starts, stops, crashes), so this bounds the file. */
async function rotateLog(path: string): Promise<void> {
  const size = (await stat(path).catch(() => null))?.size ?? 0;
  if (size > LOG_LIMIT_BYTES) await rename(path, `${path}.1`);
}

function probeFreePort(): Promise<number> {
  return new Promise((found, failed) => {
    const probe = createServer().once('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => found(port));
    });
  });
}

const urlOf = (role: string, password: string, port: number): string =>
  `postgresql://${role}:${password}@127.0.0.1:${port}/${DATABASE}`;
