import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { ADVISORY_LOCKS } from '../../../src/database/advisory-locks.js';
import { findCluster } from '../../../src/database/embedded-postgres.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { type Line, SECRETS, Started } from './started.js';
import { freePort } from '../../support/free-port.js';

const NODE = process.execPath;
/** Draining itself may take its time: a balancer is given a second at least. */
const MAX_END_MS = 15_000;

/** What a start says of the console's cookie. */
const COOKIE = /^The console’s cookie is latchkey_session, /;

describe('A server ends in order', () => {
  let database: TestDatabase;
  let environment: Record<string, string>;
  const started: Started[] = [];

  const start = (command: string, ...args: string[]) => {
    const one = new Started(command, args, environment);
    started.push(one);
    return one;
  };
  const npmStart = () => start('npm', 'start');
  const alone = () => start(NODE, 'scripts/start.mjs');
  const cluster = (workers: number) => start(NODE, 'scripts/start-cluster.mjs', '--workers', String(workers));
  const ready = async (server: Started) => (await server.line('ready'))['pid'] as number;
  const of = (lines: Line[], pid: number) =>
    lines.filter((line) => line['pid'] === pid && line['context'] === 'Process').map(({ msg }) => msg);

  beforeAll(async () => {
    database = await createTestDatabase();
    environment = {
      ...SECRETS,
      DATABASE_URL: database.appUrl,
      DATABASE_MIGRATION_URL: database.ownerUrl,
      PORT: String(await freePort()),
      ADMIN_PASSWORD: 'a password of tests',
      ADMIN_PASSWORD_IS_TEMPORARY: 'false',
    };
  });
  afterEach(() => {
    for (const one of started.splice(0)) one.kill();
  });
  afterAll(() => database.drop());

  it('and says so, from start to end, in lines of one form', async () => {
    const server = alone();
    await ready(server);
    const refused = await fetch(`http://127.0.0.1:${environment['PORT']}/api/v1/auth/me`);
    await fetch(`http://127.0.0.1:${environment['PORT']}/health/ready`);
    await fetch(`http://127.0.0.1:${environment['PORT']}/api/v1/permissions/none`);
    expect(refused.status).toBe(401);
    expect(await server.end('SIGTERM')).toBe(0);
    const lines = server.lines();
    expect(server.stdout.trim().split('\n')).toHaveLength(lines.length);
    for (const line of lines) {
      expect(line['level']).toMatch(/^(info|warn)$/);
      expect(line['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(Math.abs(Date.parse(line['time'] as string) - Date.now())).toBeLessThan(60_000);
      expect(line['msg']).toEqual(expect.any(String));
    }
    const life = lines.filter(({ context }) => context === 'Process');
    expect(life).toEqual([
      expect.objectContaining({
        msg: 'starting',
        version: expect.stringMatching(/^\d+\./),
        commit: expect.stringMatching(/^[0-9a-f]{12}(-dirty)?$/),
      }),
      expect.objectContaining({
        msg: 'database',
        postgres: expect.stringMatching(/^\d+/),
        login: 'latchkey_app',
        role: 'latchkey_app',
        embedded: false,
      }),
      expect.objectContaining({ msg: expect.stringMatching(/^Secrets seen for the first time: /) }),
      expect.objectContaining({ msg: expect.stringMatching(COOKIE) }),
      expect.objectContaining({
        msg: 'ready',
        replicaId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        address: `http://127.0.0.1:${environment['PORT']}`,
      }),
      expect.objectContaining({ msg: 'draining', reason: 'SIGTERM' }),
      expect.objectContaining({ msg: 'ended', code: 0, afterMs: expect.any(Number), upSeconds: expect.any(Number) }),
    ]);
    const requests = lines.filter(({ msg }) => msg === 'request');
    expect(requests.map(({ route, status, clientIp }) => [route, status, clientIp])).toEqual([
      ['/api/v1/auth/me', 401, '127.0.0.1'],
      [undefined, 404, undefined],
    ]);
  }, 60_000);

  it.each(['SIGTERM', 'SIGKILL', 'SIGHUP'] as const)(
    'when the npm that started it is ended by %s',
    async (signal) => {
      const npm = npmStart();
      const pid = await ready(npm);
      const began = performance.now();
      await npm.end(signal);
      expect(performance.now() - began).toBeLessThan(MAX_END_MS);
      expect(of(npm.lines(), pid)).toEqual([
        'starting',
        'database',
        expect.stringMatching(COOKIE),
        'ready',
        'draining',
        'ended',
      ]);
      expect(npm.lines().at(-1)).toMatchObject({ msg: 'ended', code: 0 });
      expect(npm.stderr).toContain('npm, which started this server, has ended');
    },
    60_000,
  );

  it('when its terminal closes', async () => {
    const server = alone();
    await ready(server);
    expect(await server.end('SIGHUP')).toBe(0);
    expect(server.lines().at(-1)).toMatchObject({ msg: 'ended', code: 0 });
  }, 60_000);

  it('within moments of a second Ctrl-C, but not of one that npm passes on', async () => {
    const server = alone();
    await ready(server);
    // A request that does not arrive whole keeps it draining.
    const socket = await halfARequest(Number(environment['PORT']));
    process.kill(server.pid, 'SIGINT');
    process.kill(server.pid, 'SIGINT');
    await server.line('draining');
    await sleep(800);
    expect(of(server.lines(), server.pid).at(-1)).toBe('draining');
    // A server that has drained ends with 0.
    expect(await server.end('SIGINT')).toBe(130);
    socket.destroy();
  }, 60_000);

  it('while it waits for the migration of another process', async () => {
    const holder = new Client({ connectionString: database.ownerUrl });
    await holder.connect();
    await holder.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.migration]);
    try {
      const server = alone();
      await server.line('starting');
      await untilWaiting(holder);
      // The lock is held until it has ended.
      expect(await server.end('SIGTERM')).toBe(0);
      expect(of(server.lines(), server.pid)).toEqual(['starting', 'ending before it was ready', 'ended']);
    } finally {
      await holder.end();
    }
  }, 60_000);

  it('worker by worker, when the primary of a cluster is killed', async () => {
    const primary = cluster(2);
    await untilCount(() => primary.lines().filter(({ msg }) => msg === 'ready').length, 2);
    await primary.end('SIGKILL');
    const workers = new Set(
      primary
        .lines()
        .filter(({ context }) => context === 'Process')
        .map(({ pid }) => pid as number),
    );
    expect(workers.size).toBe(2);
    for (const pid of workers) expect(of(primary.lines(), pid).slice(-2)).toEqual(['draining', 'ended']);
    expect(
      primary
        .lines()
        .filter(({ msg }) => msg === 'draining')
        .map(({ reason }) => reason),
    ).toEqual(['primary ended', 'primary ended']);
  }, 60_000);

  it('with code 1 when no worker of a cluster can start, instead of trying for ever', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(Number(environment['PORT']), '127.0.0.1', resolve));
    try {
      const primary = cluster(1);
      expect(await primary.ended).toBe(1);
      expect(primary.stderr).toContain('EADDRINUSE');
      expect(
        primary
          .lines()
          .filter(({ context }) => context === 'Cluster')
          .at(-1),
      ).toMatchObject({ msg: 'ended', code: 1 });
    } finally {
      taken.close();
    }
  }, 60_000);

  it('with code 1 when its embedded PostgreSQL is lost, saying so', async () => {
    const dataDir = join(await createTestDirectory(), 'data');
    const server = new Started(NODE, ['scripts/start.mjs'], { DATA_DIR: dataDir, PORT: String(await freePort()) });
    started.push(server);
    await ready(server);
    await rename((await findCluster(dataDir))!, join(dataDir, 'elsewhere'));
    expect(await server.ended).toBe(1);
    const told = server
      .lines()
      .filter(({ level }) => level === 'error' || level === 'fatal')
      .map(({ msg }) => msg);
    expect(told).toEqual(
      expect.arrayContaining([
        expect.stringContaining('has ended without being asked to'),
        expect.stringMatching(/could not be started again: The database in .* is gone/),
        'ended',
      ]),
    );
  }, 90_000);

  it('or says what it could not give back, and never that it could not start', async () => {
    const dataDir = join(await createTestDirectory(), 'data');
    const server = Started.fromSources({ DATA_DIR: dataDir, PORT: String(await freePort()) });
    started.push(server);
    await ready(server);
    const postmaster = Number(
      (await readFile(join((await findCluster(dataDir))!, 'postmaster.pid'), 'utf8')).split('\n')[0],
    );
    await rm(join(dataDir, 'postgres-run'), { recursive: true });
    await writeFile(join(dataDir, 'postgres-run'), '');
    try {
      expect(await server.end('SIGTERM')).toBe(1);
    } finally {
      process.kill(postmaster, 'SIGINT');
    }
    expect(server.stderr).toContain('Latchkey did not end in order: ');
    expect(server.stderr).not.toContain('cannot start');
    expect(of(server.lines(), server.pid).slice(-3)).toEqual(['draining', 'it did not end in order', 'ended']);
  }, 90_000);

  it('with one sentence, not one a worker, where the settings of a cluster are wrong', async () => {
    const primary = new Started(NODE, ['scripts/start-cluster.mjs', '--workers', '2'], {
      ...environment,
      LOG_LEVEL: 'loud',
    });
    started.push(primary);
    expect(await primary.ended).toBe(1);
    expect(primary.stderr.match(/LOG_LEVEL/g)).toHaveLength(1);
  }, 60_000);
});

async function halfARequest(port: number) {
  const { connect } = await import('node:net');
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  socket.write(
    'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
  );
  await sleep(100);
  return socket;
}

/** Until another session waits for an advisory lock of this database. */
async function untilWaiting(client: Client): Promise<void> {
  const waiting = `SELECT count(*)::int AS count FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted`;
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(50)) {
    if ((await client.query<{ count: number }>(waiting)).rows[0]!.count > 0) return;
  }
  throw new Error('No session waited.');
}

async function untilCount(count: () => number, wanted: number): Promise<void> {
  for (const deadline = Date.now() + 30_000; count() < wanted; await sleep(50)) {
    if (Date.now() > deadline) throw new Error(`There are ${count()}, not ${wanted}.`);
  }
}
