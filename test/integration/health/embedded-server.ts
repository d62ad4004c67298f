import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTestDirectory } from '../../support/postgres.js';
import { freePort } from '../../support/free-port.js';

/**
 * The built server as a process with a PostgreSQL of its own, whose standard output is a disk without room: /dev/full.
 */
export class EmbeddedServer {
  private constructor(
    readonly baseUrl: string,
    private readonly directory: string,
    private readonly child: ChildProcess,
  ) {}

  static async start(environment: Readonly<Record<string, string>>): Promise<EmbeddedServer> {
    const directory = await createTestDirectory();
    const port = await freePort();
    const full = await open('/dev/full', 'w');
    const child = spawn(process.execPath, ['dist/src/server/main.js'], {
      env: { PATH: process.env['PATH'], DATA_DIR: directory, PORT: String(port), ...environment },
      stdio: ['ignore', full.fd, 'ignore'],
    });
    await full.close();
    return new EmbeddedServer(`http://127.0.0.1:${port}`, directory, child);
  }

  async isReady(): Promise<boolean> {
    return fetch(`${this.baseUrl}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  /** Kills its PostgreSQL, as the kernel does where memory is short. */
  async killPostgres(): Promise<void> {
    const [pid] = (await readFile(join(this.directory, 'postgres/postmaster.pid'), 'utf8')).split('\n');
    process.kill(Number(pid), 'SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    await ended;
  }
}
