import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { createApp } from '../../../src/server/app.setup.js';
import { Changes } from '../../../src/audit/changes.js';
import { createLog } from '../../../src/common/log.js';
import { Metrics } from '../../../src/common/metrics.js';
import { dataSource } from '../../../src/database/data-source.js';
import { entities } from '../../../src/server/entities.js';
import { seed } from '../../../src/users/seed.js';
import { TcpProxy } from '../../proofs/harness/tcp-proxy.js';
import { ADMIN, testConfig } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const OUTAGE_MS = 10_000;
/** A line an interval and kind; several kinds of failures come of one outage. */
const MAX_LINES = 40;
/** Reports that wait at the same time. */
const REPORTERS = 40;

interface Line {
  level: string;
  msg: string;
  condition?: string;
  repeated?: number;
}

describe('What does not work is told', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let pool: DataSource;
  let app: NestFastifyApplication;
  let base: string;
  let token: string;
  let keyId: string;
  let gateway: string;
  let lines: Line[] = [];

  const send = async (
    method: string,
    path: string,
    body?: unknown,
    credentials: Record<string, string> = { authorization: `Bearer ${token}` },
  ) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { ...credentials, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? null : JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as never as Record<string, never> };
  };
  let reports = 0;
  /** As services do: by a key, which needs no look into the database. */
  const report = () =>
    send(
      'POST',
      '/api/v1/usage',
      { events: [{ id: `report ${(reports += 1)}`, apiKeyId: keyId, costCents: 1 }] },
      { 'x-api-key': gateway },
    );
  const isDown = async (name: string) =>
    new RegExp(`^latchkey_${name}_down 1$`, 'm').test(await app.get(Metrics).registry.metrics());
  const reasons = (health: Record<string, { status: string; reason?: string }>) =>
    Object.entries(health)
      .filter(([, { status }]) => status !== 'up')
      .map(([name]) => name);
  const recovered = () =>
    eventually(async () => {
      expect((await report()).status).toBe(200);
      const { status, body } = await send('GET', '/health');
      expect([status, body]).toEqual([200, expect.objectContaining({ status: 'ok' })]);
    }, 30_000);

  beforeAll(async () => {
    database = await createTestDatabase();
    const url = new URL(database.appUrl);
    proxy = await TcpProxy.start(Number(url.port));
    url.port = String(proxy.port);
    pool = await dataSource(url.href, { max: 10, entities }).initialize();
    const config = testConfig({ LOG_LEVEL: 'warn' });
    await seed(new Changes(pool, config), ADMIN, config);
    const stream = new Writable({
      write(chunk, _, done) {
        for (const line of String(chunk).trim().split('\n')) lines.push(JSON.parse(line) as Line);
        done();
      },
    });
    app = await createApp(config, pool, { log: createLog('warn', stream) });
    await app.listen(0, '127.0.0.1');
    base = `http://127.0.0.1:${(app.getHttpServer().address() as { port: number }).port}`;
    token = (await send('POST', '/api/v1/auth/login', ADMIN)).body['accessToken']!;
    const created = await send('POST', '/api/v1/api-keys', { roles: ['gateway'] });
    gateway = created.body['secretKey']!;
    keyId = (created.body as never as { apiKey: { id: string } }).apiKey.id;
  });
  afterAll(async () => {
    await app.close();
    await pool.destroy();
    await proxy.stop();
    await database.drop();
  });

  it('nothing is, while all works', async () => {
    const { status, body } = await send('GET', '/health');
    expect([status, body['status']]).toEqual([200, 'ok']);
    expect(Object.keys(body['details']!).sort()).toEqual([
      'audit',
      'auditChain',
      'auditCopy',
      'auditReads',
      'auditSegments',
      'auditSyslog',
      'capacity',
      'changeLog',
      'checkpoints',
      'clock',
      'database',
      'denylist',
      'feed',
      'history',
      'importedKeys',
      'limits',
      'log',
      'management',
      'metering',
      'refusedCalls',
      'secrets',
      'signIns',
      'tables',
      'traces',
      'usageArchive',
      'usageSums',
    ]);
    expect((await send('GET', '/health/ready')).body).toEqual(body);
  });

  it('over a link whose open connections have gone silent, though new ones work and the replica is ready', async () => {
    // As busy as a server in use: the pool has several connections, all of which are dead in a moment.
    await Promise.all(Array.from({ length: 10 }, () => send('GET', '/api/v1/api-keys')));
    expect((await report()).status).toBe(200);
    lines = [];
    proxy.forget();
    let isOver = false;
    const statuses: number[] = [];
    const load = Array.from({ length: REPORTERS }, async () => {
      while (!isOver) statuses.push((await report()).status);
    });
    await eventually(async () => {
      const { status, body } = await send('GET', '/health');
      expect([status, body['code']]).toEqual([503, 'DEGRADED']);
      expect(reasons(body['details']!)).toEqual(expect.arrayContaining(['metering']));
      expect(body['detail']).toContain('Reports of usage are answered 503');
    });
    const ready = await send('GET', '/health/ready');
    expect([ready.status, ready.body['status']]).toEqual([200, 'degraded']);
    expect(await isDown('metering')).toBe(true);
    const refused = () => statuses.filter((status) => status === 503).length;
    // Enough that a line for each of them is told apart from a line for each time that it breaks.
    await eventually(() => expect(refused()).toBeGreaterThanOrEqual(REPORTERS), 20_000);
    isOver = true;
    await Promise.all(load);
    proxy.reset();
    await recovered();
    expect(await isDown('metering')).toBe(false);
    const told = () => lines.filter(({ condition, level }) => condition === 'metering' && level === 'error').length;
    await eventually(() => expect(told()).toBeGreaterThan(0));
    // A line when it breaks, not one for each report; on a slow machine it breaks again before all is as it was.
    expect(told()).toBeLessThan(refused() / 4);
  });

  it('without a report or a change from which it could be seen, when the pool gets no answers', async () => {
    proxy.setMode('silent');
    await eventually(async () =>
      expect(reasons((await send('GET', '/health/ready')).body['details']!)).toEqual(
        expect.arrayContaining(['database', 'feed']),
      ),
    );
    expect(await isDown('database')).toBe(true);
    proxy.setMode('pass');
    proxy.reset();
    await recovered();
  });

  it('in a few lines, however many requests meet an outage of ten seconds', async () => {
    lines = [];
    let refused = 0;
    let isOver = false;
    proxy.setMode('refuse');
    const load = Array.from({ length: 8 }, async (_, client) => {
      while (!isOver) {
        const { status } = client % 2 === 0 ? await report() : await send('POST', '/api/v1/api-keys', {});
        if (status === 503) refused += 1;
        await sleep(5);
      }
    });
    await sleep(OUTAGE_MS);
    // As many as on a fast machine: what is told of them must not grow with their number.
    while (refused <= 300) await sleep(50);
    isOver = true;
    await Promise.all(load);
    proxy.setMode('pass');
    await recovered();
    expect(lines.length).toBeLessThan(MAX_LINES);
    await eventually(() => {
      const told = lines.reduce((sum, { repeated = 0 }) => sum + repeated, 0);
      // Each of them is in a count, or was the first of its kind.
      expect(told).toBeGreaterThan(refused - MAX_LINES);
    }, 30_000);
    expect(lines.length).toBeLessThan(MAX_LINES);
  });
});
