import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTestDirectory } from './postgres.js';
import { freePort } from './free-port.js';

/** Whether PgBouncer can be run; said loudly where not, because then nothing of it has been tested. */
export function hasPgBouncer(): boolean {
  if (spawnSync('pgbouncer', ['-V']).status === 0) return true;
  // Straight to the terminal: Jest leaves out what a file prints all of whose tests are skipped.
  process.stderr.write(
    '\nPGBOUNCER TESTS SKIPPED: there is no pgbouncer here. Install it (apt-get install pgbouncer) to try connection pooling.\n\n',
  );
  return false;
}

/** A PgBouncer of its own in front of a PostgreSQL, with its default settings but for what is given. */
export class PgBouncer {
  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {}

  /**
   * `databases`: an alias each, with PgBouncer's parameters after the server's (`pool_mode=transaction`). `urls` are
   * those whose logins may come; all lead to the first one's server and database.
   */
  static async start(
    urls: readonly string[],
    databases: Readonly<Record<string, string>>,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<PgBouncer> {
    const directory = await createTestDirectory();
    const server = new URL(urls[0]!);
    const port = await freePort();
    const users = urls
      .map((url) => new URL(url))
      .map(({ username, password }) => `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"`);
    const behind = `host=${server.hostname} port=${server.port} dbname=${server.pathname.slice(1)}`;
    const lines = [
      '[databases]',
      ...Object.entries(databases).map(([alias, parameters]) => `${alias} = ${behind} ${parameters}`),
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      `auth_file = ${join(directory, 'users.txt')}`,
      ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
    ];
    await writeFile(join(directory, 'users.txt'), `${users.join('\n')}\n`);
    await writeFile(join(directory, 'pgbouncer.ini'), `${lines.join('\n')}\n`);
    await chmod(directory, 0o755);
    // It refuses to run as root, and the account `nobody` can enter the directories of tests.
    const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    const child = spawn('pgbouncer', ['-q', join(directory, 'pgbouncer.ini')], {
      stdio: ['ignore', 'ignore', 'pipe'],
      ...account,
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    for (const deadline = Date.now() + 60_000; !(await accepts(port)); await sleep(20)) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`PgBouncer did not start: ${said}`);
    }
    return new PgBouncer(child, port);
  }

  /** The same login through this pooler, by one of its aliases. */
  url(url: string, alias: string): string {
    const pooled = new URL(url);
    pooled.hostname = '127.0.0.1';
    pooled.port = String(this.port);
    pooled.pathname = `/${alias}`;
    return pooled.href;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGQUIT');
    await ended;
  }
}

const NOBODY = 65_534;

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const isOpen = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return isOpen;
}
