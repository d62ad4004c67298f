import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { ClusterDatabase } from './cluster.js';
import { giveToPostgres, postgresDirectory, signal, whyNoDebianPostgres } from './debian-postgres.js';
import { freePort } from '../../support/free-port.js';

const run = promisify(execFile);
const NODES = [1, 2, 3] as const;
const LEADER_WITHIN_MS = 10_000;
/** A node that was the primary is rewound, or copied anew; on a busy machine that takes minutes. */
const READY_WITHIN_MS = 300_000;
const FILES = new URL('../../../deploy/patroni/', import.meta.url);
/** What the machine must have, beside PostgreSQL 15. */
const PROGRAMS = ['/usr/bin/etcd', '/usr/bin/patroni', '/usr/sbin/haproxy', '/usr/sbin/ip'];

/** A member of the cluster, as Patroni says it. */
export interface Member {
  readonly name: string;
  /** `leader`, `sync_standby` or `replica`. */
  readonly role: string;
  readonly state: string;
  readonly timeline?: number;
}

/** Why no cluster of Patroni can be run here; null: one can. */
export async function whyNoPatroni(): Promise<string | null> {
  const postgres = await whyNoDebianPostgres();
  if (postgres !== null) return postgres;
  for (const program of PROGRAMS) {
    const isThere = await access(program).then(
      () => true,
      () => false,
    );
    if (!isThere) return `${program} is missing (Debian: apt-get install patroni etcd-server haproxy iproute2)`;
  }
  return run('unshare', ['--net', 'true']).then(
    () => null,
    () => 'network namespaces cannot be made here',
  );
}

/**
 * Three machines, each a network namespace with etcd, Patroni and PostgreSQL, from the files of deploy/patroni; HAProxy
 * in front of them on loopback. Only addresses, directories and passwords are put into the files.
 */
export class PatroniCluster implements ClusterDatabase {
  private readonly children: ChildProcess[] = [];

  private constructor(
    private readonly id: string,
    private readonly network: string,
    private readonly directory: string,
    private readonly port: number,
    private readonly passwords: Readonly<Record<string, string>>,
  ) {
    process.once('exit', () => this.removeNetwork());
  }

  static async start(): Promise<PatroniCluster> {
    const draw = () => randomBytes(18).toString('base64url');
    const passwords = {
      REST_PASSWORD: draw(),
      SUPERUSER_PASSWORD: draw(),
      REPLICATION_PASSWORD: draw(),
      APP_PASSWORD: draw(),
    };
    const id = `lk${randomBytes(3).toString('hex')}`;
    const network = `10.${200 + (randomBytes(1)[0]! % 50)}.${randomBytes(1)[0]!}`;
    const cluster = new PatroniCluster(id, network, await postgresDirectory(), await freePort(), passwords);
    try {
      await cluster.makeNetwork();
      for (const node of NODES) await cluster.prepare(node);
      for (const node of NODES) await cluster.startNode(node);
      await cluster.startProxy();
      await cluster.untilWhole();
      await cluster.query(`CREATE ROLE latchkey_app LOGIN PASSWORD '${passwords.APP_PASSWORD}'`);
      return cluster;
    } catch (error) {
      const logs = await Promise.all(
        NODES.map((node) => readFile(cluster.logOf(node, 'patroni'), 'utf8').catch(() => '')),
      );
      await cluster.stop();
      const last = logs.map((log) => log.split('\n').slice(-8).join('\n')).join('\n--\n');
      throw new Error(`The cluster did not start: ${String(error)}\n${last}`, { cause: error });
    }
  }

  get ownerUrl(): string {
    return `postgres://postgres:${this.passwords['SUPERUSER_PASSWORD']}@127.0.0.1:${this.port}/postgres`;
  }

  get appUrl(): string {
    return `postgres://latchkey_app:${this.passwords['APP_PASSWORD']}@127.0.0.1:${this.port}/postgres`;
  }

  /** Through HAProxy, again until there is a primary. */
  async query<T>(sql: string, values: unknown[] = []): Promise<T[]> {
    for (const until = performance.now() + READY_WITHIN_MS; ; await sleep(200)) {
      const client = new Client({ connectionString: this.ownerUrl, connectionTimeoutMillis: 3_000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        return (await client.query(sql, values)).rows as T[];
      } catch (error) {
        if (performance.now() > until) throw error;
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }

  async slowStatements(): Promise<string[]> {
    return [];
  }

  /** What a node that answers says of all. */
  async members(): Promise<Member[]> {
    for (const node of NODES) {
      const answer = await this.ask(node, 'GET', '/cluster').catch(() => null);
      if (answer?.ok) return ((await answer.json()) as { members: Member[] }).members;
    }
    return [];
  }

  /**
   * The node that is the primary by its own word: that of one that was cut off does not count. Asked again for a while,
   * because a node of a busy machine may not answer in time.
   */
  async leader(): Promise<number> {
    for (const until = performance.now() + LEADER_WITHIN_MS; ; await sleep(200)) {
      for (const node of NODES) {
        const answer = await this.ask(node, 'GET', '/primary').catch(() => null);
        if (answer?.status === 200) return node;
      }
      if (performance.now() > until) throw new Error('There is no primary.');
    }
  }

  /** The standby for which commits wait. */
  async syncStandby(): Promise<number> {
    const found = (await this.members()).find(({ role }) => role === 'sync_standby');
    if (found === undefined) throw new Error('There is no synchronous standby.');
    return Number(found.name.slice(2));
  }

  /** Resolves when there is a primary and both others follow it, one of them synchronously. */
  async untilWhole(): Promise<void> {
    let members: Member[] = [];
    for (const until = performance.now() + READY_WITHIN_MS; performance.now() < until; await sleep(250)) {
      members = await this.members();
      const roles = members.map(({ role }) => role).sort();
      const isWhole =
        roles.join() === 'leader,replica,sync_standby' &&
        members.every(({ state }) => state === 'running' || state === 'streaming') &&
        new Set(members.map(({ timeline }) => timeline)).size === 1;
      if (isWhole && (await this.leader().catch(() => null)) !== null) return;
    }
    throw new Error(`The cluster is not whole: ${JSON.stringify(members)}`);
  }

  /** A power cut of one machine. */
  async kill(node: number): Promise<void> {
    for (const pid of await this.pidsOf(node)) signal(pid, 'SIGKILL');
  }

  /** PostgreSQL alone dies. */
  async killPostgres(node: number): Promise<void> {
    const pid = Number((await readFile(join(this.dirOf(node), 'data/postmaster.pid'), 'utf8')).split('\n')[0]);
    signal(pid, 'SIGKILL');
  }

  /** etcd alone dies. */
  async killEtcd(node: number): Promise<void> {
    for (const pid of await this.pidsOf(node)) {
      const program = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      if (program.trim() === 'etcd') signal(pid, 'SIGKILL');
    }
  }

  async startNode(node: number): Promise<void> {
    await this.startEtcd(node);
    const config = join(this.dirOf(node), 'patroni.yml');
    this.spawnIn(node, 'patroni', ['runuser', '-u', 'postgres', '--', '/usr/bin/patroni', config]);
  }

  async startEtcd(node: number): Promise<void> {
    const text = await readFile(join(this.dirOf(node), 'etcd.env'), 'utf8');
    const settings = text.split('\n').filter((line) => line.startsWith('ETCD_'));
    this.spawnIn(node, 'etcd', ['env', ...settings, '/usr/bin/etcd']);
  }

  /** Nothing reaches the machine any more, and nothing leaves it. */
  async cutOff(node: number): Promise<void> {
    await run('ip', ['link', 'set', `${this.id}h${node}`, 'down']);
  }

  /** The machine no longer reaches the two others; HAProxy reaches it as before. */
  async cutOffFromOthers(node: number): Promise<void> {
    for (const other of NODES.filter((one) => one !== node))
      await run('ip', ['-n', this.spaceOf(node), 'route', 'add', 'blackhole', `${this.addressOf(other)}/32`]);
  }

  async heal(node: number): Promise<void> {
    await run('ip', ['link', 'set', `${this.id}h${node}`, 'up']);
    for (const other of NODES.filter((one) => one !== node)) {
      const route = ['route', 'del', 'blackhole', `${this.addressOf(other)}/32`];
      await run('ip', ['-n', this.spaceOf(node), ...route]).catch(() => undefined);
    }
  }

  /** As before maintenance of the primary: its synchronous standby takes over. */
  async switchOver(): Promise<void> {
    const [leader, candidate] = [await this.leader(), await this.syncStandby()];
    const answer = await this.ask(leader, 'POST', '/switchover', {
      leader: `db${leader}`,
      candidate: `db${candidate}`,
    });
    if (!answer.ok) throw new Error(`switchover answered ${answer.status}: ${await answer.text()}`);
  }

  async stop(): Promise<void> {
    for (const child of this.children) child.kill('SIGKILL');
    this.removeNetwork();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }

  private async makeNetwork(): Promise<void> {
    await run('ip', ['link', 'add', this.id, 'type', 'bridge']);
    await run('ip', ['addr', 'add', `${this.network}.1/24`, 'dev', this.id]);
    await run('ip', ['link', 'set', this.id, 'up']);
    for (const node of NODES) {
      const [space, host, inside] = [this.spaceOf(node), `${this.id}h${node}`, `${this.id}n${node}`];
      await run('ip', ['netns', 'add', space]);
      await run('ip', ['link', 'add', host, 'type', 'veth', 'peer', 'name', inside]);
      await run('ip', ['link', 'set', inside, 'netns', space]);
      await run('ip', ['link', 'set', host, 'master', this.id, 'up']);
      await run('ip', ['-n', space, 'addr', 'add', `${this.addressOf(node)}/24`, 'dev', inside]);
      await run('ip', ['-n', space, 'link', 'set', inside, 'up']);
      await run('ip', ['-n', space, 'link', 'set', 'lo', 'up']);
    }
  }

  /** Processes of the machines, and what they had of the network; nothing of it may outlive the experiment. */
  private removeNetwork(): void {
    for (const node of NODES) {
      const space = this.spaceOf(node);
      const quietly = (program: string, ...argv: string[]): string => {
        try {
          return execFileSync(program, argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
        } catch {
          return '';
        }
      };
      for (const pid of quietly('ip', 'netns', 'pids', space).split('\n').map(Number))
        if (pid > 0) signal(pid, 'SIGKILL');
      quietly('ip', 'netns', 'del', space);
      quietly('ip', 'link', 'del', `${this.id}h${node}`);
      if (node === NODES.length) quietly('ip', 'link', 'del', this.id);
    }
  }

  private async prepare(node: number): Promise<void> {
    const directory = this.dirOf(node);
    await mkdir(directory, { recursive: true });
    for (const name of ['etcd.env', 'patroni.yml']) {
      const text = await readFile(new URL(name, FILES), 'utf8');
      await writeFile(join(directory, name), this.ofNode(node, text));
    }
    await giveToPostgres(directory);
  }

  /** A file of the first machine as that of another. */
  private ofNode(node: number, text: string): string {
    const own = text
      .replaceAll(/^(ETCD_NAME=|name: )db1$/gm, `$1db${node}`)
      // Lists name all three machines; everything else names the machine itself.
      .split('\n')
      .map((line) => (line.includes('10.0.0.12') ? line : line.replaceAll('10.0.0.11', `10.0.0.1${node}`)))
      .join('\n')
      .replaceAll('/var/lib/etcd/latchkey', join(this.dirOf(node), 'etcd'))
      .replaceAll('/var/lib/postgresql/15/latchkey', join(this.dirOf(node), 'data'))
      .replaceAll('/var/run/postgresql', this.dirOf(node));
    return this.here(own);
  }

  /** Addresses and passwords of this cluster. */
  private here(text: string): string {
    const named = Object.entries(this.passwords).reduce((all, [name, value]) => all.replaceAll(name, value), text);
    return named.replaceAll('10.0.0.', `${this.network}.`);
  }

  private async startProxy(): Promise<void> {
    const text = this.here(await readFile(new URL('haproxy.cfg', FILES), 'utf8'));
    const config = join(this.directory, 'haproxy.cfg');
    await writeFile(config, text.replaceAll('127.0.0.1:5432', `127.0.0.1:${this.port}`));
    const log = openSync(join(this.directory, 'haproxy.log'), 'a');
    this.children.push(spawn('/usr/sbin/haproxy', ['-db', '-f', config], { stdio: ['ignore', log, log] }));
  }

  private spawnIn(node: number, name: string, argv: readonly string[]): void {
    const log = openSync(this.logOf(node, name), 'a');
    const child = spawn('ip', ['netns', 'exec', this.spaceOf(node), ...argv], {
      stdio: ['ignore', log, log],
      cwd: this.directory,
    });
    this.children.push(child);
  }

  private async pidsOf(node: number): Promise<number[]> {
    const { stdout } = await run('ip', ['netns', 'pids', this.spaceOf(node)]);
    return stdout
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0);
  }

  private ask(node: number, method: string, path: string, body?: object): Promise<Response> {
    const password = Buffer.from(`patroni:${this.passwords['REST_PASSWORD']}`).toString('base64');
    return fetch(`http://${this.addressOf(node)}:8008${path}`, {
      method,
      headers: { authorization: `Basic ${password}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // A switchover answers when it is over.
      signal: AbortSignal.timeout(method === 'POST' ? 60_000 : 1_000),
    });
  }

  private spaceOf(node: number): string {
    return `${this.id}-db${node}`;
  }

  private addressOf(node: number): string {
    return `${this.network}.1${node}`;
  }

  private dirOf(node: number): string {
    return join(this.directory, `db${node}`);
  }

  private logOf(node: number, name: string): string {
    return join(this.directory, `db${node}-${name}.log`);
  }
}
