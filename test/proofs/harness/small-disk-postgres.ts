import { join } from 'node:path';
import type { ClusterDatabase } from './cluster.js';
import { DebianServer, giveToPostgres, whyNoDebianPostgres } from './debian-postgres.js';
import { SmallVolume } from './small-volume.js';

const SIZE_MB = 96;
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  fsync: 'off',
  min_wal_size: '4MB',
  max_wal_size: '16MB',
};
/** Nothing of the log is reused: a volume that is full stays full. */
const KEEP_LOG = { wal_keep_size: '10GB' };

/** What has the small volume: the write-ahead log, or the tables and indexes. */
export type OnSmallVolume = 'log' | 'tables';

/** A PostgreSQL 15 of which a part has a small volume of its own. */
export class SmallDiskPostgres implements ClusterDatabase {
  private constructor(
    private readonly server: DebianServer,
    private readonly volume: SmallVolume,
  ) {}

  /** @returns why it cannot be run here, as a sentence. */
  static async start(what: OnSmallVolume = 'log'): Promise<SmallDiskPostgres | string> {
    const why = await whyNoDebianPostgres();
    if (why !== null) return why;
    const volume = await SmallVolume.mount(SIZE_MB);
    if (volume === null) return 'no volume can be mounted here';
    try {
      await giveToPostgres(volume.path);
      return new SmallDiskPostgres(await startOn(volume.path, what), volume);
    } catch (error) {
      await volume.unmount();
      throw error;
    }
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
  fill(leftBytes: number): Promise<void> {
    return this.volume.fill(leftBytes);
  }

  free(): Promise<void> {
    return this.volume.free();
  }

  /** The rest of the present segment is used up, as by a busy minute. */
  async useLog(): Promise<void> {
    await this.server.query('SELECT pg_switch_wal()').catch(() => undefined);
  }

  /** Whether the server has stopped because its log could not be written. */
  async hasPanicked(): Promise<boolean> {
    return /PANIC: .*No space left/.test(await this.server.log());
  }

  /** How often it has refused a statement since there was no room for a table or an index. */
  async refusals(): Promise<number> {
    return (await this.server.log()).match(/ERROR: .*No space left/g)?.length ?? 0;
  }

  /** As an operator does after room was made. */
  async restart(): Promise<void> {
    await this.server.stop('immediate').catch(() => this.server.kill());
    await this.server.start();
  }

  async stop(): Promise<void> {
    await this.server.remove();
    await this.volume.unmount();
  }
}

async function startOn(path: string, what: OnSmallVolume): Promise<DebianServer> {
  const server = await (what === 'log'
    ? DebianServer.init({ ...SETTINGS, ...KEEP_LOG }, ['-X', join(path, 'wal'), '--wal-segsize=1'])
    : DebianServer.init(SETTINGS, ['--wal-segsize=1']));
  await server.start();
  await server.query('CREATE ROLE latchkey_app LOGIN');
  if (what === 'log') return server;
  await server.query(`CREATE TABLESPACE small LOCATION '${path}'`);
  await server.query('GRANT CREATE ON TABLESPACE small TO PUBLIC');
  await server.query(`ALTER DATABASE postgres SET default_tablespace = 'small'`);
  return server;
}
