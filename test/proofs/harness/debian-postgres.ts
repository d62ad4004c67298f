import { execFile } from 'node:child_process';
import { access, chown, chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { freePort } from '../../support/free-port.js';

const BINARIES = '/usr/lib/postgresql/15/bin';
const ACCOUNT = 'postgres';
const run = promisify(execFile);

/** Why no server of Debian's PostgreSQL 15 can be run here; null: one can. */
export async function whyNoDebianPostgres(): Promise<string | null> {
  const installed = await access(join(BINARIES, 'pg_basebackup')).then(
    () => true,
    () => false,
  );
  if (!installed) return 'PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)';
  return process.getuid?.() === 0 ? null : 'root is needed to run PostgreSQL under an account of its own';
}

/** Runs a program of PostgreSQL 15 under its account. */
export async function asPostgres(program: string, argv: readonly string[]): Promise<void> {
  await run('runuser', ['-u', ACCOUNT, '--', join(BINARIES, program), ...argv], { cwd: tmpdir() });
}

/** An empty directory that PostgreSQL's account may write to. */
export async function postgresDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-pg15-'));
  await giveToPostgres(directory);
  return directory;
}

export async function giveToPostgres(directory: string): Promise<void> {
  const [uid, gid] = await accountIds();
  await chown(directory, uid, gid);
  await chmod(directory, 0o700);
}

async function accountIds(): Promise<[number, number]> {
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((one) => one.startsWith(`${ACCOUNT}:`));
  const [, , uid, gid] = (line ?? '').split(':');
  return [Number(uid), Number(gid)];
}

/** One server of Debian's PostgreSQL 15 on a data directory that is there. */
export class DebianServer {
  constructor(
    readonly directory: string,
    readonly port: number,
  ) {}

  get data(): string {
    return join(this.directory, 'data');
  }

  /** Makes a cluster, and not yet a server. */
  static async init(
    settings: Readonly<Record<string, string>>,
    options: readonly string[] = [],
  ): Promise<DebianServer> {
    const server = new DebianServer(await postgresDirectory(), await freePort());
    await asPostgres('initdb', ['-D', server.data, '-A', 'trust', '-U', 'postgres', '--no-sync', ...options]);
    await server.configure({ ...settings, port: String(server.port) });
    return server;
  }

  /** Settings that count from the next start or reload; later ones win. */
  async configure(settings: Readonly<Record<string, string>>): Promise<void> {
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
    await writeFile(join(this.data, 'postgresql.conf'), lines.join(''), { flag: 'a' });
  }

  async start(): Promise<void> {
    await asPostgres('pg_ctl', ['-D', this.data, '-w', '-t', '30', '-l', join(this.directory, 'log'), 'start']);
  }

  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    await asPostgres('pg_ctl', ['-D', this.data, '-w', '-t', '30', '-m', mode, 'stop']);
  }

  /** Every process of the server, the postmaster first. */
  async pids(): Promise<number[]> {
    const text = await readFile(join(this.data, 'postmaster.pid'), 'utf8').catch(() => '');
    const pid = Number(text.split('\n')[0]);
    if (!Number.isInteger(pid) || pid === 0) return [];
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    return [
      pid,
      ...children
        .split(' ')
        .map(Number)
        .filter((one) => one > 0),
    ];
  }

  /** As after a power cut: no process of it gets a last word. */
  async kill(): Promise<void> {
    for (const pid of await this.pids()) signal(pid, 'SIGKILL');
  }

  urlAs(user: string): string {
    return `postgres://${user}@127.0.0.1:${this.port}/postgres`;
  }

  async query<T>(sql: string, values: unknown[] = []): Promise<T[]> {
    const client = new Client({ connectionString: this.urlAs('postgres'), connectionTimeoutMillis: 5_000 });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows as T[];
    } finally {
      await client.end();
    }
  }

  async log(): Promise<string> {
    return readFile(join(this.directory, 'log'), 'utf8').catch(() => '');
  }

  async remove(): Promise<void> {
    await this.stop('immediate').catch(() => this.kill());
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** To one process that may have ended. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}
