import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { findProcess } from '../../../packages/embedded-postgres/src/processes.js';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
  stopAbandonedPostgres,
} from '../../../src/database/embedded-postgres.js';
import { createTestDirectory } from '../../support/postgres.js';

type Started = Omit<EmbeddedPostgres, 'stop'>;

const FIXTURE = fileURLToPath(new URL('./start-postgres.fixture.ts', import.meta.url));
const REGISTER = new URL('../../support/register-typescript.mjs', import.meta.url).href;

const query = async (url: string, sql: string): Promise<unknown[]> => {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client.query(sql).then(
    ({ rows }) => client.end().then(() => rows),
    (error: unknown) => client.end().then(() => Promise.reject(error as Error)),
  );
};

const startInChild = async (dataDir: string, children: ChildProcess[]) => {
  const child = fork(FIXTURE, [dataDir], { execArgv: ['--import', REGISTER] });
  children.push(child);
  const [started] = (await once(child, 'message')) as [Started];
  return { child, started };
};

const kill = async (child: ChildProcess) => {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
};

const ended = async (pid: number) => {
  for (let tries = 0; tries < 400 && (await findProcess(pid)) !== null; tries++) await sleep(25);
};

describe('The embedded PostgreSQL', () => {
  let parent: string;
  let dataDir: string;
  const children: ChildProcess[] = [];
  const handles: EmbeddedPostgres[] = [];
  const start = async (settings?: Record<string, string>) => {
    const handle = await startEmbeddedPostgres({ dataDir, settings });
    handles.push(handle);
    return handle;
  };

  beforeEach(async () => {
    parent = await createTestDirectory();
    dataDir = join(parent, '.data');
  });

  afterEach(async () => {
    for (const child of children.splice(0)) if (child.exitCode === null && child.signalCode === null) await kill(child);
    await Promise.allSettled(handles.splice(0).map((handle) => handle.stop()));
    await stopAbandonedPostgres(dataDir).catch(() => undefined);
    await rm(parent, { recursive: true, force: true });
  });

  describe('at a first start', () => {
    it('gives an empty database to an owner and to a role without rights, over loopback alone', async () => {
      const server = await start();
      expect(server.adopted).toBe(false);
      const [settings] = await query(
        server.ownerUrl,
        `SELECT current_user, current_database(), current_setting('listen_addresses') AS addresses,
           current_setting('unix_socket_directories') AS sockets, current_setting('fsync') AS fsync,
           current_setting('synchronous_commit') AS commits, current_setting('data_checksums') AS checksums,
           current_setting('TimeZone') AS zone, current_setting('server_encoding') AS encoding, lower('Ä') AS lower`,
      );
      expect(settings).toEqual({
        current_user: 'latchkey_owner',
        current_database: 'latchkey',
        addresses: '127.0.0.1',
        sockets: '',
        fsync: 'on',
        commits: 'on',
        checksums: 'on',
        zone: 'UTC',
        encoding: 'UTF8',
        lower: 'ä',
      });
      await expect(query(server.appUrl, 'CREATE TABLE x ()')).rejects.toMatchObject({ code: '42501' });
      await expect(query(server.appUrl, 'CREATE ROLE x')).rejects.toMatchObject({ code: '42501' });
    });

    it('lets nobody in without the password, which no other user can read', async () => {
      const server = await start();
      const wrong = new URL(server.ownerUrl);
      wrong.password = 'latchkey';
      await expect(query(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
      const mode = async (path: string) => (await stat(path)).mode & 0o777;
      expect(await mode(join(dataDir, 'postgres-credentials.json'))).toBe(0o600);
      expect(await mode(join(dataDir, 'postgres'))).toBe(0o700);
      expect(await mode(join(dataDir, 'postgres.log'))).toBe(0o600);
      expect((await mode(dataDir)) & 0o007).toBe(0);
      expect((await readdir(dataDir)).filter((name) => name.includes('.password'))).toEqual([]);
    });

    it('takes settings over its own', async () => {
      const server = await start({ fsync: 'off', max_connections: '20' });
      expect(await query(server.ownerUrl, 'SHOW fsync')).toEqual([{ fsync: 'off' }]);
      expect(await query(server.ownerUrl, 'SHOW max_connections')).toEqual([{ max_connections: '20' }]);
    });
  });

  describe('after a clean stop', () => {
    it('has ended, and keeps data and passwords for the next start', async () => {
      const first = await start();
      await query(first.ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
      await first.stop();
      expect(await findProcess(first.pid)).toBeNull();
      await first.stop();

      const second = await start();
      expect(second.adopted).toBe(false);
      expect(new URL(second.appUrl).password).toBe(new URL(first.appUrl).password);
      expect(await query(second.ownerUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
      expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).not.toContain('not properly shut down');
    });
  });

  describe('when its starter was killed', () => {
    it('is adopted by the next start and stopped by it', async () => {
      const { child, started } = await startInChild(dataDir, children);
      await query(started.ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
      await kill(child);

      const next = await start();
      expect(next).toMatchObject({ adopted: true, pid: started.pid, ownerUrl: started.ownerUrl });
      expect(await query(next.ownerUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
      await next.stop();
      expect(await findProcess(started.pid)).toBeNull();
    });

    it('recovers all that was committed if it was killed too', async () => {
      const { child, started } = await startInChild(dataDir, children);
      await query(started.ownerUrl, 'CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number');
      await kill(child);
      process.kill(started.pid, 'SIGKILL');
      await ended(started.pid);

      const next = await start();
      expect(next.adopted).toBe(false);
      expect(next.pid).not.toBe(started.pid);
      expect(await query(next.ownerUrl, 'SELECT count(*)::int FROM kept')).toEqual([{ count: 1000 }]);
      expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).toContain('automatic recovery in progress');
    });

    it('can be stopped without another start', async () => {
      const { child, started } = await startInChild(dataDir, children);
      expect(await stopAbandonedPostgres(dataDir)).toBe(false);
      expect(await findProcess(started.pid)).not.toBeNull();
      await kill(child);
      expect(await stopAbandonedPostgres(dataDir)).toBe(true);
      expect(await findProcess(started.pid)).toBeNull();
    });
  });

  describe('with several processes on one directory', () => {
    it('is one server for starts at the same time', async () => {
      const started = await Promise.all([
        startInChild(dataDir, children).then((one) => one.started),
        startInChild(dataDir, children).then((one) => one.started),
        start(),
        start(),
      ]);
      expect(new Set(started.map(({ pid }) => pid)).size).toBe(1);
      expect(started.filter(({ adopted }) => !adopted)).toHaveLength(1);
    });

    it('runs until the last of them stops', async () => {
      const { child, started } = await startInChild(dataDir, children);
      const second = await start();
      const third = await start();
      const exited = once(child, 'exit');
      child.send('stop');
      await exited;
      await second.stop();
      expect(await query(third.ownerUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      await third.stop();
      expect(await findProcess(started.pid)).toBeNull();
    });
  });

  describe('with a stale postmaster.pid', () => {
    const pidFile = () => join(dataDir, 'postgres', 'postmaster.pid');

    it('starts if the pid is nobody’s', async () => {
      await (await start()).stop();
      await writeFile(pidFile(), `2147483647\n${join(dataDir, 'postgres')}\n1\n5432\n\n127.0.0.1\n0 0\nready\n`);
      expect(await start()).toMatchObject({ adopted: false });
    });

    it('starts, and leaves the other alone, if the pid went to another process', async () => {
      await (await start()).stop();
      const answering = createServer().listen(0, '127.0.0.1');
      await once(answering, 'listening');
      const { port } = answering.address() as { port: number };
      await writeFile(pidFile(), `${process.pid}\n${join(dataDir, 'postgres')}\n1\n${port}\n\n127.0.0.1\n0 0\nready\n`);
      const server = await start().finally(() => answering.close());
      expect(server.adopted).toBe(false);
      expect(server.pid).not.toBe(process.pid);
    });
  });

  describe('refuses', () => {
    it('data of another major version, and changes nothing', async () => {
      await (await start()).stop();
      await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '17\n');
      await expect(start()).rejects.toThrow(
        /made by PostgreSQL 17, and this release brings PostgreSQL 18: .*DATABASE_URL/,
      );
      await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '18\n');
      expect(await start()).toMatchObject({ adopted: false });
    });

    it('a cluster whose passwords are lost, rather than making a new one over it', async () => {
      const first = await start();
      await query(first.ownerUrl, 'CREATE TABLE kept ()');
      await first.stop();
      const credentials = await readFile(join(dataDir, 'postgres-credentials.json'));
      await rm(join(dataDir, 'postgres-credentials.json'));
      await expect(start()).rejects.toThrow(/postgres-credentials.json is missing or damaged/);
      await writeFile(join(dataDir, 'postgres-credentials.json'), credentials);
      const second = await start();
      expect(await query(second.ownerUrl, `SELECT to_regclass('kept')::text AS found`)).toEqual([{ found: 'kept' }]);
    });

    it('to begin with an empty database where there was another', async () => {
      const first = await start();
      await first.stop();
      await rename(join(dataDir, 'postgres'), join(parent, 'elsewhere'));
      await expect(start()).rejects.toThrow(
        /The database of .* is gone: put .*postgres back, or restore a backup; or remove .*postgres-created/,
      );
      await rename(join(parent, 'elsewhere'), join(dataDir, 'postgres'));
      expect((await start()).adopted).toBe(false);
    });

    it('a data directory that is a file', async () => {
      await writeFile(dataDir, '');
      await expect(start()).rejects.toThrow(/The data directory .* cannot be used/);
    });

    it('a server that cannot start, with what PostgreSQL said', async () => {
      await expect(start({ shared_buffers: 'lots' })).rejects.toThrow(/invalid value for parameter "shared_buffers"/);
    });
  });

  it('begins anew after a creation that was killed half-way', async () => {
    await mkdir(join(dataDir, 'postgres.new', 'base'), { recursive: true });
    await writeFile(join(dataDir, 'postgres-credentials.json'), '{"ownerPassword":"a","appPassword":"b"}');
    const server = await start();
    expect(await query(server.appUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});
