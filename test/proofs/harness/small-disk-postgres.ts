import { execFile } from 'node:child_process';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ClusterDatabase } from './cluster.js';
import { DebianServer, giveToPostgres, whyNoDebianPostgres } from './debian-postgres.js';

const run = promisify(execFile);
const SIZE_MB = 96;
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  fsync: 'off',
  min_wal_size: '4MB',
  max_wal_size: '16MB',
  // Nothing of the log is reused: a volume that is full stays full.
  wal_keep_size: '10GB',
};

/** A PostgreSQL 15 whose write-ahead log has a small volume of its own. */
export class SmallDiskPostgres implements ClusterDatabase {
  private constructor(
    private readonly server: DebianServer,
    private readonly volume: string,
  ) {}

  /** @returns why it cannot be run here, as a sentence. */
  static async start(): Promise<SmallDiskPostgres | string> {
    const why = await whyNoDebianPostgres();
    if (why !== null) return why;
    const volume = await mkdtemp(join(tmpdir(), 'latchkey-wal-'));
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MB}m`, 'latchkey-proof', volume]);
    } catch {
      await rm(volume, { recursive: true, force: true });
      return 'no volume can be mounted here';
    }
    await giveToPostgres(volume);
    const server = await DebianServer.init(SETTINGS, ['-X', join(volume, 'wal'), '--wal-segsize=1']);
    await server.start();
    await server.query('CREATE ROLE latchkey_app LOGIN');
    return new SmallDiskPostgres(server, volume);
  }

  get ownerUrl(): string {
    return this.server.urlAs('postgres');
  }

  get appUrl(): string {
    return this.server.urlAs('latchkey_app');
  }

  query<T>(sql: string, values: unknown[] = []): Promise<T[]> {
    return this.server.query<T>(sql, values);
  }

  slowStatements(): Promise<string[]> {
    return Promise.resolve([]);
  }

  /** Another file takes all room but `leftBytes`. */
  async fill(leftBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.volume);
    await writeFile(join(this.volume, 'filler'), Buffer.alloc(Math.max(0, bavail * bsize - leftBytes)));
  }

  async free(): Promise<void> {
    await rm(join(this.volume, 'filler'), { force: true });
  }

  /** The rest of the present segment is used up, as by a busy minute. */
  async useLog(): Promise<void> {
    await this.server.query('SELECT pg_switch_wal()').catch(() => undefined);
  }

  /** Whether the server has stopped because its log could not be written. */
  async hasPanicked(): Promise<boolean> {
    return /PANIC: .*No space left/.test(await this.server.log());
  }

  /** As an operator does after room was made. */
  async restart(): Promise<void> {
    await this.server.stop('immediate').catch(() => this.server.kill());
    await this.server.start();
  }

  async stop(): Promise<void> {
    await this.server.remove();
    await run('umount', ['-l', this.volume]).catch(() => undefined);
    await rm(this.volume, { recursive: true, force: true });
  }
}
