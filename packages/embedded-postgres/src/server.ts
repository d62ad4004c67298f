import { execFile, spawn } from 'node:child_process';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type Application, ownerRoleOf } from './application.js';
import type { Account, Binaries } from './binaries.js';
import { binaryOptions, executable, prepareBinaries } from './binaries.js';
import type { Credentials } from './cluster.js';
import { leaveToDirectoryOwner } from './lock.js';
import { findPostmaster, type Postmaster } from './postmaster.js';
import { findProcess } from './processes.js';

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 50;
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

/** Waits until the server answers for this very cluster; null if it ended instead. */
export async function adopt(
  application: Application,
  cluster: string,
  left: Postmaster,
  credentials: Credentials,
): Promise<Postmaster | null> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let reason = 'it has not opened its port';
  while (performance.now() < deadline) {
    const found = await findPostmaster(cluster);
    if (found === null) return null;
    if (found.port > 0) {
      const answer = await tryToConnect(application, found.port, credentials);
      if (answer === null) return found;
      reason = answer;
    }
    await sleep(READY_POLL_MS);
  }
  throw new application.Refusal(
    `A PostgreSQL (process ${left.pid}) runs on ${cluster} and does not let us in (${reason}): end that process ` +
      'and start again.',
  );
}

/** What a server is started with. */
export interface Launch {
  application: Application;
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
export async function startServer(launch: Launch): Promise<Postmaster> {
  await rotateLog(launch.logFile);
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let preferred = launch.lastPort;
  for (;;) {
    const logged = (await stat(launch.logFile).catch(() => null))?.size ?? 0;
    const port = launch.port ?? preferred ?? (await probeFreePort());
    const pid = await spawnServer(launch, port);
    const problem = await waitUntilReady(launch, pid, port, deadline);
    if (problem === null) return { pid, port };
    const output = (await readFile(launch.logFile, 'utf8')).slice(logged).trim();
    const isTaken = /address already in use|could not create any TCP\/IP sockets/i.test(output);
    if (isTaken) preferred = null;
    const passing = isTaken || /shared memory block .* still in use/i.test(output);
    if (!passing || performance.now() > deadline) {
      throw new launch.application.Refusal(
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
  { application, credentials }: Launch,
  pid: number,
  port: number,
  deadline: number,
): Promise<string | null> {
  let reason: string | null = 'it was not tried';
  while (performance.now() < deadline) {
    reason = await tryToConnect(application, port, credentials);
    if (reason === null) return null;
    if ((await findProcess(pid)) === null) return 'it ended';
    await sleep(READY_POLL_MS);
  }
  await stopServer(application, pid);
  return `not ready after ${READY_TIMEOUT_MS / 1_000} s: ${reason}`;
}

/** Null if the owner gets in, else why not. */
async function tryToConnect(application: Application, port: number, credentials: Credentials): Promise<string | null> {
  return withClient(application, port, credentials, async () => null).catch(
    (error: unknown) => (error as Error).message,
  );
}

/** Does `work` as the cluster's owner, outside of the application's database. */
export async function withClient<T>(
  application: Application,
  port: number,
  credentials: Credentials,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: ownerRoleOf(application),
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

/** A fast shutdown; after 10 s an immediate one, which loses nothing committed and costs the next start a recovery. */
export async function stopServer(application: Application, pid: number): Promise<void> {
  await signalServer(application, pid, 'SIGINT');
  if (await hasEnded(pid, FAST_STOP_TIMEOUT_MS)) return;
  await signalServer(application, pid, 'SIGQUIT');
  if (await hasEnded(pid, FAST_STOP_TIMEOUT_MS)) return;
  throw new Error(`PostgreSQL (process ${pid}) does not stop.`);
}

async function signalServer(application: Application, pid: number, signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
  if (process.platform === 'win32') {
    // Windows has no signals; pg_ctl sends them the way a server listens to there.
    const { directory } = await prepareBinaries(application, null, '');
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
