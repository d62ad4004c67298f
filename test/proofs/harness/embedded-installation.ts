import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN, modulesOf, Replica } from './cluster.js';
import type { Fault } from './experiment.js';
import { freePorts } from '../../support/free-port.js';

/** What a command printed, and the code it ended with. */
export interface Ended {
  readonly exitCode: number | null;
  readonly output: string;
}

/** Replicas of the built product on the embedded PostgreSQL of one machine, and what lies outside of that machine. */
export class EmbeddedInstallation {
  private constructor(
    readonly directory: string,
    readonly replicas: readonly Replica[],
    private readonly environment: Readonly<Record<string, string>>,
  ) {}

  static async start(count: number, fault?: Fault): Promise<EmbeddedInstallation> {
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-proof-'));
    // The account PostgreSQL runs as must get in.
    await chmod(directory, 0o755);
    const environment = {
      DATA_DIR: join(directory, 'data'),
      AUDIT_CHECKPOINT_FILE: join(directory, 'checkpoints'),
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      ADMIN_PASSWORD_IS_TEMPORARY: 'false',
      LOG_LEVEL: 'warn',
      MAX_ACTIVE_KEYS: '1000000',
      MANAGEMENT_RATE_PER_MINUTE: '1000000',
    };
    const replicas = (await freePorts(count)).map(
      (port, index) => new Replica(`replica ${index}`, port, environment, modulesOf(fault)),
    );
    const installation = new EmbeddedInstallation(directory, replicas, environment);
    try {
      await installation.startReplicas();
    } catch (error) {
      await installation.stop();
      throw error;
    }
    return installation;
  }

  get dataDir(): string {
    return this.environment['DATA_DIR']!;
  }

  replica(index: number): Replica {
    return this.replicas[index % this.replicas.length]!;
  }

  async startReplicas(): Promise<void> {
    for (const replica of this.replicas) await replica.start();
  }

  async signIn(): Promise<string> {
    const { status, body } = await this.replica(0).client.post('/auth/login', { body: ADMIN });
    if (status !== 200) throw new Error(`sign-in answered ${status}: ${JSON.stringify(body)}`);
    return body.accessToken as string;
  }

  /** Runs an entry point of the build to its end. `kill` may end it earlier; it is asked every few milliseconds. */
  async run(program: string, args: readonly string[], kill: () => boolean = () => false): Promise<Ended> {
    const child = spawn(process.execPath, [`dist/src/${program}.js`, ...args], {
      env: { PATH: process.env['PATH'], ...this.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const watch = setInterval(() => kill() && child.kill('SIGKILL'), 5);
    const exitCode = await ended.finally(() => clearInterval(watch));
    return { exitCode, output: Buffer.concat(chunks).toString() };
  }

  /** Power off for servers and database, and the disk is gone. */
  async loseTheMachine(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.end('SIGKILL')));
    await this.killPostgres();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.end('SIGKILL')));
    for (const { client } of this.replicas) client.close();
    await this.killPostgres();
    await rm(this.directory, { recursive: true, force: true });
  }

  private async killPostgres(): Promise<void> {
    const file = join(this.dataDir, 'postgres/postmaster.pid');
    if (!existsSync(file)) return;
    const pid = Number((await readFile(file, 'utf8')).split('\n')[0]);
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      return;
    }
    // Its children end as soon as they notice.
    await sleep(500);
  }
}
