import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { TraceCollector } from '../../support/trace-collector.js';
import { SECRETS, Started } from './started.js';
import { freePort } from '../../support/free-port.js';

const PATIENCE_MS = 120_000;
/** Fewer than wait for a collector. */
const REQUESTS = 200;

describe('A process', () => {
  let database: TestDatabase;
  let directory: string;
  let collector: TraceCollector;
  const started: Started[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await createTestDirectory();
    collector = await TraceCollector.start();
  });
  afterEach(() => {
    for (const one of started.splice(0)) one.kill();
  });
  afterAll(async () => {
    await collector.stop();
    await database.drop();
  });

  /** A server that is ready, its port, and the modules of OpenTelemetry that it had loaded when it ended. */
  const start = async (settings: Record<string, string>) => {
    const list = join(directory, `${randomBytes(4).toString('hex')}.modules`);
    const port = await freePort();
    const server = Started.fromSources({
      ...SECRETS,
      DATABASE_URL: database.appUrl,
      DATABASE_MIGRATION_URL: database.ownerUrl,
      PORT: String(port),
      ADMIN_PASSWORD: 'a password of tests',
      NODE_OPTIONS: '--import ./test/support/loaded-modules.mjs',
      LOADED_MODULES: list,
      ...settings,
    });
    started.push(server);
    await server.line('ready');
    const loaded = async () =>
      (await readFile(list, 'utf8')).split('\n').filter((path) => path.includes('/@opentelemetry/'));
    return { server, port, loaded };
  };
  const ask = async (port: number, traceId: string) => {
    const headers = { traceparent: `00-${traceId}-${'1'.repeat(16)}-01` };
    expect((await fetch(`http://127.0.0.1:${port}/api/v1/auth/me`, { headers })).status).toBe(401);
  };

  it(
    'without TRACES_URL has loaded nothing that makes or sends traces',
    async () => {
      const { server, port, loaded } = await start({});
      await ask(port, randomBytes(16).toString('hex'));
      expect(await server.end('SIGTERM')).toBe(0);
      // The client of Prometheus knows the interface, and nothing behind it.
      expect((await loaded()).filter((path) => !path.includes('/@opentelemetry/api/'))).toEqual([]);
      expect(collector.spans).toEqual([]);
    },
    PATIENCE_MS,
  );

  it(
    'with TRACES_URL has loaded the library, and sends what waits before it ends',
    async () => {
      const { server, port, loaded } = await start({ TRACES_URL: collector.url, TRACES_SAMPLE_RATIO: '0' });
      const ids = Array.from({ length: REQUESTS }, () => randomBytes(16).toString('hex'));
      await Promise.all(ids.map((id) => ask(port, id)));
      const taken = () => collector.spans.filter(({ kind }) => kind === 2).map(({ traceId }) => traceId);
      await eventually(() => expect(taken().sort()).toEqual(ids.sort()), PATIENCE_MS);
      // One alone waits: what is sent at the end has two seconds.
      const last = randomBytes(16).toString('hex');
      await ask(port, last);
      expect(await server.end('SIGTERM')).toBe(0);
      expect(taken().sort()).toEqual([...ids, last].sort());
      expect((await loaded()).filter((path) => path.includes('/exporter-trace-otlp-http/')).length).toBeGreaterThan(0);
    },
    2 * PATIENCE_MS,
  );

  it(
    'ends in order and in time where the collector answers nothing',
    async () => {
      collector.mode = 'silent';
      const { server, port } = await start({ TRACES_URL: collector.url, TRACES_SAMPLE_RATIO: '1' });
      await ask(port, randomBytes(16).toString('hex'));
      expect(await server.end('SIGTERM')).toBe(0);
      expect(server.lines().map(({ msg }) => msg)).toContain('ended');
    },
    PATIENCE_MS,
  );
});
