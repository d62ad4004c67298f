import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { BINARY_ENVIRONMENT } from '../../../packages/embedded-postgres/src/binaries.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';
import type { Fault } from './experiment.js';
import { HttpClient, type ProofAnswer } from './http-client.js';
import { copyPreparedDatabase } from './prepared-database.js';
import { TcpProxy } from './tcp-proxy.js';
import { freePorts } from '../../support/free-port.js';

export const ADMIN = { email: 'admin@latchkey.test', password: 'a password for proofs' };

/** On a machine that is busy with other things; how soon a replica is ready, no experiment measures by this. */
const READY_TIMEOUT_MS = 180_000;
/** Until every session of a PostgreSQL has read its settings anew. */
const RELOAD_MS = 1_000;
const SETUP_ATTEMPTS = 10;
const START_ATTEMPTS = 3;
const MOST_REASONS = 12;
/** Of a replica's output: what an experiment looks for must not be pushed out by what the machine makes slow. */
const MOST_CHUNKS = 5_000;
/** Until what a process that has ended wrote last is read; its children may keep the streams open. */
const OUTPUT_MS = 1_000;
/**
 * What is slow, or waits for a lock, is told by the server's log: the reason when an experiment fails for its time.
 * When a change was committed is kept with its rows.
 */
const DATABASE_SETTINGS = {
  log_min_duration_statement: '500',
  log_lock_waits: 'on',
  deadlock_timeout: '500ms',
  track_commit_timestamp: 'on',
};

/** Processes that must not outlive the experiment, however that ends. */
const children = new Map<number, NodeJS.Signals>();
process.once('exit', () => {
  for (const [pid, signal] of children) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  }
});
process.once('SIGTERM', () => process.exit(143));
process.once('SIGINT', () => process.exit(130));

/** A PostgreSQL as a cluster needs it. */
export interface ClusterDatabase {
  /** For replicas, as owner and as the application's role. */
  readonly ownerUrl: string;
  readonly appUrl: string;
  /** For the experiment itself, as owner. */
  query<T>(sql: string, values?: unknown[]): Promise<T[]>;
  slowStatements(): Promise<string[]>;
  stop(): Promise<void>;
}

/** A PostgreSQL that can be killed and brought back, behind a proxy that keeps its address. */
export class ProofDatabase {
  private halted: number[] = [];

  private constructor(
    private readonly dataDir: string,
    private server: EmbeddedPostgres,
    readonly proxy: TcpProxy,
    private readonly added: readonly string[],
  ) {
    // An immediate shutdown: its children end with it.
    children.set(server.pid, 'SIGQUIT');
  }

  /** `environment` is the server's own, beside what it always has; `isEmpty`: the first replica has to migrate it. */
  static async start(
    environment: Readonly<Record<string, string>> = {},
    // What was made at another time is in the future, or past, of a clock that is moved.
    isEmpty = Object.keys(environment).length > 0,
  ): Promise<ProofDatabase> {
    const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-proof-'));
    Object.assign(BINARY_ENVIRONMENT, environment);
    if (!isEmpty) await copyPreparedDatabase(dataDir);
    const server = await startEmbeddedPostgres({ dataDir, settings: DATABASE_SETTINGS });
    return new ProofDatabase(dataDir, server, await TcpProxy.start(portOf(server.ownerUrl)), Object.keys(environment));
  }

  /** For replicas: as owner through the proxy. */
  get ownerUrl(): string {
    return withPort(this.server.ownerUrl, this.proxy.port);
  }

  /** For replicas: as the application's role through the proxy. */
  get appUrl(): string {
    return withPort(this.server.appUrl, this.proxy.port);
  }

  /** Another proxy in front of the same server. */
  anotherWay(): Promise<TcpProxy> {
    return TcpProxy.start(portOf(this.server.ownerUrl));
  }

  /** For the experiment itself: past the proxy, as owner. */
  async query<T>(sql: string, values: unknown[] = []): Promise<T[]> {
    const client = new Client({ connectionString: this.server.ownerUrl });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows as T[];
    } finally {
      await client.end();
    }
  }

  /** What its log says was slow, or waited for a lock. */
  async slowStatements(): Promise<string[]> {
    const text = await readFile(join(this.dataDir, 'postgres.log'), 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => /duration: |still waiting/.test(line))
      .map((line) => `slow in PostgreSQL: ${line.slice(0, 200)}`);
  }

  /**
   * Every statement it is sent until the function that comes back is called, which gives them; this one's own aside.
   */
  async recordStatements(): Promise<() => Promise<string[]>> {
    const log = join(this.dataDir, 'postgres.log');
    await this.query(`ALTER SYSTEM SET log_statement = 'all'`);
    await this.query('SELECT pg_reload_conf()');
    await sleep(RELOAD_MS);
    const from = (await readFile(log)).length;
    return async () => {
      const text = (await readFile(log)).subarray(from).toString();
      await this.query('ALTER SYSTEM RESET log_statement');
      await this.query('SELECT pg_reload_conf()');
      return text
        .split(/^(?=\d{4}-\d\d-\d\d )/m)
        .flatMap((entry) => /^.*? LOG: {2}((?:statement|execute [^:]+): [^]*)/.exec(entry)?.[1] ?? []);
    };
  }

  /** `kill -9` of the postmaster; its children follow at once, as after a power cut of the process. */
  kill(): void {
    process.kill(this.server.pid, 'SIGKILL');
  }

  /** The network swallows what is sent to it and what it sends. */
  async pause(): Promise<void> {
    this.proxy.setMode('silent');
  }

  resume(): void {
    // What was swallowed is lost: connections that waited for it must break, as after a real hang.
    this.proxy.setMode('pass');
    this.proxy.reset();
  }

  /** Stops every process of the server where it stands: connections live, and nobody answers. */
  async halt(): Promise<void> {
    this.halted = [this.server.pid, ...(await childrenOf(this.server.pid))];
    for (const pid of this.halted) process.kill(pid, 'SIGSTOP');
  }

  proceed(): void {
    for (const pid of this.halted.splice(0)) {
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        // A session that has ended meanwhile.
      }
    }
  }

  /** Starts it again, with crash recovery, where replicas look for it. */
  async restart(): Promise<void> {
    await this.server.stop().catch(() => undefined);
    children.delete(this.server.pid);
    this.server = await startEmbeddedPostgres({ dataDir: this.dataDir, settings: DATABASE_SETTINGS });
    children.set(this.server.pid, 'SIGQUIT');
    this.proxy.pointTo(portOf(this.server.ownerUrl));
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
    await this.server.stop();
    children.delete(this.server.pid);
    await rm(this.dataDir, { recursive: true, force: true });
    for (const name of this.added) delete BINARY_ENVIRONMENT[name];
  }
}

/** One server process of the built product. */
export class Replica {
  private child: ChildProcess | null = null;
  /** The last lines it wrote, for a failed experiment. */
  readonly output: string[] = [];
  /** When its event loop stood still. @see stall-watch.mjs */
  readonly stalls: string[] = [];
  /** Bytes alive after a collection, as often as it was asked. @see heap-watch.mjs */
  readonly heaps: number[] = [];
  readonly client: HttpClient;

  constructor(
    readonly name: string,
    private readonly port: number,
    private environment: Record<string, string>,
    private readonly imports: readonly string[] = [],
    private readonly program: readonly string[] = ['dist/src/server/main.js'],
    /** Where standard output goes from the next start on, instead of `output`. */
    private readonly logFile: string | null = null,
  ) {
    this.client = new HttpClient(port);
  }

  /** Starts it, again if it ends before it is ready, as whatever supervises it in real life does. */
  async start(): Promise<void> {
    for (let attempt = 1; !(await this.startOnce()); attempt += 1) {
      if (attempt === START_ATTEMPTS) throw new Error(`${this.name} ended while it started:\n${this.output.join('')}`);
    }
  }

  /** Whether it got ready; false when it ended before. @throws Error when it does neither */
  async startOnce(): Promise<boolean> {
    const log = this.logFile === null ? null : await open(this.logFile, 'a');
    const child = spawn(
      process.execPath,
      [...this.imports.flatMap((module) => ['--import', module]), ...this.program],
      {
        env: { PATH: process.env['PATH'], ...this.environment, PORT: String(this.port) },
        stdio: ['ignore', log?.fd ?? 'pipe', 'pipe'],
      },
    );
    await log?.close();
    this.child = child;
    const { pid } = child;
    if (pid !== undefined) {
      children.set(pid, 'SIGKILL');
      child.once('exit', () => children.delete(pid));
    }
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        const text = chunk.toString();
        this.stalls.push(...text.split('\n').filter((line) => line.startsWith('STALL')));
        this.heaps.push(...[...text.matchAll(/^HEAP (\d+)$/gm)].map(([, bytes]) => Number(bytes)));
        this.output.push(text);
        if (this.output.length > MOST_CHUNKS) this.output.shift();
      });
    }
    const isRead = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < deadline) {
      if (child.exitCode !== null) {
        await Promise.race([isRead, sleep(OUTPUT_MS)]);
        return false;
      }
      const answer = await this.client.request('GET', '/health/ready', {}).catch(() => null);
      if (answer?.status === 200) return true;
      await sleep(50);
    }
    throw new Error(`${this.name} did not get ready:\n${this.output.join('')}`);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.child!.pid!;
  }

  /** Of a process that has ended; null: by a signal, or it runs. */
  get exitCode(): number | null {
    return this.child?.exitCode ?? null;
  }

  /** Variables of its next start, on top of what it had. */
  configure(changes: Readonly<Record<string, string>>): void {
    this.environment = { ...this.environment, ...changes };
  }

  get isRunning(): boolean {
    return this.child !== null && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends it; resolves to the exit code (null: by signal) when it has ended. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const { child } = this;
    if (child === null || !this.isRunning) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    return ended;
  }

  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }
}

/** A database with replicas on it, and an admin who is signed in. */
export class ProofCluster<Database extends ClusterDatabase = ProofDatabase> {
  private constructor(
    readonly database: Database,
    readonly replicas: readonly Replica[],
    readonly adminToken: string,
    private readonly environment: Readonly<Record<string, string>>,
    private readonly imports: readonly string[],
    /** The way of each replica to the database, where each has its own. */
    readonly ways: readonly TcpProxy[],
  ) {}

  /** @param hasOwnWays whether each replica has a proxy of its own, to be broken alone */
  static async start(
    count: number,
    overrides: Record<string, string> = {},
    fault?: Fault,
    modules: readonly string[] = [],
    databaseEnvironment: Readonly<Record<string, string>> = {},
    hasOwnWays = false,
  ): Promise<ProofCluster> {
    const database = await ProofDatabase.start(databaseEnvironment);
    const ways = await Promise.all(hasOwnWays ? Array.from({ length: count }, () => database.anotherWay()) : []);
    const ofEach = ways.map((way) => ({
      DATABASE_URL: overrides['DATABASE_URL'] ?? withPort(database.appUrl, way.port),
    }));
    return ProofCluster.startOn(database, count, overrides, fault, modules, ofEach, ways);
  }

  /**
   * The same on a database that runs; it ends with the cluster. `ofEach` is what the environment of one replica alone
   * has.
   */
  static async startOn<D extends ClusterDatabase>(
    database: D,
    count: number,
    overrides: Record<string, string> = {},
    fault?: Fault,
    modules: readonly string[] = [],
    ofEach: readonly Readonly<Record<string, string>>[] = [],
    ways: readonly TcpProxy[] = [],
  ): Promise<ProofCluster<D>> {
    const environment = { ...environmentOf(database), ...overrides };
    const ports = await freePorts(count);
    const imports = modulesOf(fault, modules);
    const replicas = ports.map(
      (port, index) => new Replica(`replica ${index}`, port, { ...environment, ...ofEach[index] }, imports),
    );
    try {
      await Promise.all(replicas.map((replica) => replica.start()));
      if (fault?.sql !== undefined) await database.query(fault.sql);
      const answer = await patiently(() => replicas[0]!.client.post('/auth/login', { body: ADMIN }));
      return new ProofCluster(database, replicas, answer.body.accessToken as string, environment, imports, ways);
    } catch (error) {
      await Promise.all(replicas.map((replica) => replica.end('SIGKILL')));
      await Promise.all(ways.map((way) => way.stop()));
      await database.stop();
      throw error;
    }
  }

  /** Workers behind one port on the same database, as `npm run start:cluster` runs them. */
  async startWorkers(count: number): Promise<Replica> {
    const [port] = await freePorts(1);
    const primary = new Replica('cluster', port!, this.environment, this.imports, [
      'dist/src/server/cluster.js',
      '--workers',
      String(count),
    ]);
    await primary.start();
    return primary;
  }

  /** A process by itself, on an embedded PostgreSQL of its own. */
  static async embedded(name: string, settings: Readonly<Record<string, string>>): Promise<Replica> {
    const [port] = await freePorts(1);
    return new Replica(name, port!, { NODE_ENV: 'test', LOG_LEVEL: 'warn', ...settings });
  }

  /**
   * One more process on the same database, with other settings, and its log in a file if there is a name. It has to be
   * ended by the experiment.
   */
  async spare(name: string, changes: Readonly<Record<string, string>>, logFile?: string): Promise<Replica> {
    const [port] = await freePorts(1);
    return new Replica(name, port!, { ...this.environment, ...changes }, this.imports, undefined, logFile);
  }

  /** A setting as the replicas were given it. */
  setting(name: string): string {
    return this.environment[name]!;
  }

  /** A replica by turn. */
  replica(index: number): Replica {
    return this.replicas[index % this.replicas.length]!;
  }

  /** A key of the admin's; gives its id and secret. */
  async createKey(fields: Record<string, unknown> = {}): Promise<{ id: string; secret: string }> {
    const { status, body } = await patiently(() =>
      this.replica(0).client.post('/api-keys', { token: this.adminToken, body: fields }),
    );
    if (status !== 201) throw new Error(`create answered ${status}: ${JSON.stringify(body)}`);
    return { id: body.apiKey.id as string, secret: body.secretKey as string };
  }

  /** What the doctor says of this cluster's database, and the code it ends with. */
  async doctor(changes: Readonly<Record<string, string>> = {}): Promise<{ exitCode: number | null; report: string }> {
    const child = spawn(process.execPath, ['dist/src/cli/doctor.js'], {
      env: { PATH: process.env['PATH'], ...this.environment, ...changes },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { exitCode, report: Buffer.concat(chunks).toString() };
  }

  /** Why something may have taken long: what was slow in PostgreSQL, and replicas that stood still. */
  async reasons(): Promise<string[]> {
    const stalls = this.replicas.flatMap(({ name, stalls: lines }) => lines.map((line) => `${name}: ${line}`));
    return [...(await this.database.slowStatements()).slice(-MOST_REASONS), ...stalls.slice(-MOST_REASONS)];
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.replicas.map(async (replica) => {
        replica.resume();
        await replica.end('SIGKILL');
        replica.client.close();
      }),
    );
    await Promise.all(this.ways.map((way) => way.stop()));
    await this.database.stop();
  }
}

/**
 * Asks again after a 503, as it says of itself: what an experiment sets up must not fail for a machine that is busy.
 */
export async function patiently(ask: () => Promise<ProofAnswer>): Promise<ProofAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await ask();
    if (answer.status !== 503 || attempt === SETUP_ATTEMPTS) return answer;
    await sleep(200 * attempt);
  }
}

/** Modules that every replica loads before the product. */
export function modulesOf(fault: Fault | undefined, modules: readonly string[] = []): string[] {
  const names = fault?.patch === undefined ? modules : [...modules, fault.patch];
  return ['./stall-watch.mjs', ...names.map((name) => `../faults/${name}`)].map(
    (path) => new URL(path, import.meta.url).href,
  );
}

/** Settings of a server on this database, with secrets of its own. */
export function environmentOf(database: ClusterDatabase): Record<string, string> {
  const draw = () => randomBytes(32).toString('base64url');
  return {
    NODE_ENV: 'test',
    DATABASE_URL: database.appUrl,
    DATABASE_MIGRATION_URL: database.ownerUrl,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    ADMIN_PASSWORD_IS_TEMPORARY: 'false',
    JWT_SECRET: draw(),
    API_KEY_PEPPERS: `1:${draw()}`,
    TAG_KEYS: `1:${draw()}`,
    RESERVATION_KEY: draw(),
    AUDIT_KEY: draw(),
    LOG_LEVEL: 'warn',
    MAX_ACTIVE_KEYS: '1000000',
    MANAGEMENT_RATE_PER_MINUTE: '1000000',
    CREATIONS_PER_DAY: '1000000',
  };
}

/** The processes a process has started. Linux only, as the experiments are. */
export async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children
    .split(' ')
    .filter((text) => text.trim() !== '')
    .map(Number);
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

function withPort(url: string, port: number): string {
  const changed = new URL(url);
  changed.port = String(port);
  return changed.href;
}
