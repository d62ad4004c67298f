import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterDatabase } from './cluster.js';
import { DebianServer, asPostgres, postgresDirectory, signal } from './debian-postgres.js';
import { TcpProxy } from './tcp-proxy.js';
import { freePort } from '../../support/free-port.js';

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '150',
  // A crash of the processes, and not of the machine, is what is tried here.
  fsync: 'off',
  wal_keep_size: '512MB',
  log_min_duration_statement: '1000',
};
const STANDBY = 'standby';
const ATTACHED_WITHIN_MS = 20_000;

/** A primary and its standby behind one address, which a proxy moves as HAProxy or a virtual IP would. */
export class PostgresPair implements ClusterDatabase {
  private frozen: number[] = [];

  private constructor(
    private readonly primary: DebianServer,
    private readonly standby: DebianServer,
    readonly proxy: TcpProxy,
    private current: DebianServer,
  ) {}

  /** `isSynchronous`: commits wait until the standby has them on its disk. */
  static async start(isSynchronous: boolean): Promise<PostgresPair> {
    const primary = await DebianServer.init(SETTINGS);
    await primary.start();
    // With rights to itself alone, as documented.
    await primary.query('CREATE ROLE latchkey_app LOGIN');
    const standby = new DebianServer(await postgresDirectory(), await freePort());
    const source = `host=127.0.0.1 port=${primary.port} user=postgres application_name=${STANDBY}`;
    await asPostgres('pg_basebackup', [
      '-D',
      standby.data,
      '-d',
      source,
      '-R',
      '-X',
      'stream',
      '-c',
      'fast',
      '--no-sync',
    ]);
    await standby.configure({ port: String(standby.port) });
    await standby.start();
    const pair = new PostgresPair(primary, standby, await TcpProxy.start(primary.port), primary);
    await pair.untilAttached();
    if (isSynchronous) {
      await primary.configure({ synchronous_standby_names: STANDBY });
      await primary.query('SELECT pg_reload_conf()');
    }
    return pair;
  }

  get ownerUrl(): string {
    return `postgres://postgres@127.0.0.1:${this.proxy.port}/postgres`;
  }

  get appUrl(): string {
    return `postgres://latchkey_app@127.0.0.1:${this.proxy.port}/postgres`;
  }

  query<T>(sql: string, values: unknown[] = []): Promise<T[]> {
    return this.current.query<T>(sql, values);
  }

  async slowStatements(): Promise<string[]> {
    const text = await this.current.log();
    return text
      .split('\n')
      .filter((line) => line.includes('duration: '))
      .map((line) => `slow in PostgreSQL: ${line.slice(0, 200)}`);
  }

  /** From now on the standby hears nothing: what commits without it is lost with the primary. */
  async cutOffStandby(): Promise<void> {
    const rows = await this.primary.query<{ pid: number }>('SELECT pid FROM pg_stat_replication');
    this.frozen = rows.map(({ pid }) => pid);
    for (const pid of this.frozen) signal(pid, 'SIGSTOP');
  }

  /** The primary is gone without a word, and the standby takes its place and address. */
  async failOver(): Promise<void> {
    await this.primary.kill();
    await this.takeOver();
  }

  /** The primary is shut down as before maintenance: it sends all it has; then the standby takes its place. */
  async switchOver(): Promise<void> {
    this.proxy.setMode('refuse');
    await this.primary.stop('fast');
    await this.takeOver();
  }

  async stop(): Promise<void> {
    for (const pid of this.frozen) signal(pid, 'SIGCONT');
    await this.proxy.stop();
    await this.primary.remove();
    await this.standby.remove();
  }

  private async takeOver(): Promise<void> {
    this.proxy.setMode('refuse');
    await asPostgres('pg_ctl', ['-D', this.standby.data, '-w', '-t', '30', 'promote']);
    this.current = this.standby;
    this.proxy.pointTo(this.standby.port);
    this.proxy.setMode('pass');
  }

  private async untilAttached(): Promise<void> {
    for (const until = performance.now() + ATTACHED_WITHIN_MS; performance.now() < until; await sleep(50)) {
      const rows = await this.primary.query<{ state: string }>('SELECT state FROM pg_stat_replication');
      if (rows.some(({ state }) => state === 'streaming')) return;
    }
    throw new Error(`The standby did not attach:\n${await this.standby.log()}`);
  }
}
