import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { createApp } from '../../../src/server/app.setup.js';
import { Changes } from '../../../src/audit/changes.js';
import { loadConfig } from '../../../src/config/config.js';
import { dataSource } from '../../../src/database/data-source.js';
import { entities } from '../../../src/server/entities.js';
import { GatewayListener } from '../../../src/gateways/gateway-listener.js';
import { REQUEST_TIMEOUT_MS } from '../../../src/http/server-limits.js';
import { MetricsServer } from '../../../src/metrics/metrics-server.js';
import { seed } from '../../../src/users/seed.js';
import { ADMIN, testConfig } from '../../support/app.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { sendRaw } from '../../support/raw-http.js';

const TOKEN = 'metrics-0123456789-abcdefghijklmnopqrstuvwxyz';
/** Instead of 30 s, so that no test takes half a minute. */
const TIMEOUT_MS = 1_500;
/** A server that gave the head time of its own, or looked every 30 s, would take longer by far. */
const LATEST_MS = 10_000;

/** Whether the connection is open for more. */
type Write = (text: string) => boolean;

type Listener = 'main' | 'gateway' | 'metrics';
const LISTENERS: readonly Listener[] = ['main', 'gateway', 'metrics'];
const PATHS: Record<Listener, string> = {
  main: '/api/v1/auth/me',
  gateway: '/api/v1/forward-auth',
  metrics: '/metrics',
};

describe('every listener', () => {
  let database: TestDatabase;
  let pool: DataSource;
  let app: NestFastifyApplication;
  let ports: Record<Listener, number>;

  beforeAll(async () => {
    database = await createTestDatabase();
    const config = testConfig({
      GATEWAY_PORT: '0',
      METRICS_PORT: '0',
      METRICS_TOKEN: TOKEN,
      TRUSTED_PROXIES: '127.0.0.1',
    });
    pool = await dataSource(database.appUrl, { max: 10, entities }).initialize();
    await seed(new Changes(pool, config), ADMIN, config);
    app = await createApp(config, pool, { requestTimeoutMs: TIMEOUT_MS });
    await app.listen(0, '127.0.0.1');
    ports = {
      main: (app.getHttpServer().address() as { port: number }).port,
      gateway: app.get(GatewayListener, { strict: false }).port!,
      metrics: app.get(MetricsServer, { strict: false }).port!,
    };
  });
  afterAll(async () => {
    await app.close();
    await pool.destroy();
    await database.drop();
  });

  const head = (listener: Listener, lines: readonly string[]) =>
    `GET ${PATHS[listener]} HTTP/1.1\r\n${['Host: x', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n`;
  const send = (listener: Listener, lines: readonly string[]) => sendRaw(ports[listener], head(listener, lines));
  const junk = (count: number) => Array.from({ length: count }, () => 'a:');

  describe.each(LISTENERS)('%s', (listener) => {
    it.each([201, 999, 1_001, 2_000, 3_500])(
      'refuses a request with %i header lines, and says how many it may have',
      async (count) => {
        const { status, body } = await send(listener, junk(count - 2));
        expect([status, body.code, body.detail]).toEqual([
          431,
          'HEADERS_TOO_LARGE',
          'The request has more than 200 header lines. Send fewer.',
        ]);
      },
    );

    it('takes one with as many as it may have', async () => {
      expect((await send(listener, junk(198))).status).toBe(401);
    });

    it('refuses two hosts', async () => {
      for (const second of ['Host: x', 'host: other', 'HOST: y']) {
        const { status, body } = await send(listener, [second]);
        expect([status, body.code, body.errors]).toEqual([
          400,
          'VALIDATION_FAILED',
          [{ path: 'Host', message: 'must not be given twice' }],
        ]);
      }
    });

    it.each([
      [
        'a head that dribbles in',
        (write: Write) => dribble(write, `GET ${PATHS[listener]} HTTP/1.1\r\nHost: x\r\n`, 'A: b\r\n'),
      ],
      [
        'a body that dribbles in',
        (write: Write) =>
          dribble(
            write,
            `POST ${PATHS[listener]} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n{"a":"`,
            'x',
          ),
      ],
      [
        'a chunked body that dribbles in',
        (write: Write) =>
          dribble(
            write,
            `POST ${PATHS[listener]} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`,
            '1\r\nx\r\n',
          ),
      ],
      ['a request line that never ends', (write: Write) => dribble(write, 'GET /', 'x')],
      ['a client that says nothing', () => Promise.resolve()],
      [
        'the second request of a connection',
        (write: Write) =>
          dribble(write, `GET ${PATHS[listener]} HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n`, 'A: b\r\n'),
      ],
    ])('ends the connection of %s', async (_, act) => {
      const began = performance.now();
      await closed(ports[listener], act);
      const tookMs = performance.now() - began;
      expect(tookMs).toBeGreaterThan(TIMEOUT_MS - 100);
      expect(tookMs).toBeLessThan(LATEST_MS);
    });
  });

  it('gives a request 30 s where nothing else is said', async () => {
    const usual = await createApp(testConfig(), pool);
    const { requestTimeout, headersTimeout } = usual.getHttpServer() as {
      requestTimeout: number;
      headersTimeout: number;
    };
    expect([REQUEST_TIMEOUT_MS, requestTimeout, headersTimeout]).toEqual([30_000, 30_000, 30_000]);
    await usual.close();
  });

  it.each([
    ['main', 'GET', '/api/v1/verify', 405, 'METHOD_NOT_ALLOWED', 'POST'],
    ['metrics', 'POST', '/metrics', 405, 'METHOD_NOT_ALLOWED', 'GET'],
    ['main', 'GET', '/nothing', 404, 'ROUTE_NOT_FOUND', undefined],
    ['gateway', 'GET', '/api/v1/verify', 404, 'ROUTE_NOT_FOUND', undefined],
    ['metrics', 'POST', '/nothing', 404, 'ROUTE_NOT_FOUND', undefined],
  ] as const)('%s: tells that %s %s is not there by a problem', async (listener, method, path, status, code, allow) => {
    const answer = await sendRaw(ports[listener], `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect([answer.status, answer.body.code, answer.headers['allow']]).toEqual([status, code, allow]);
    expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
    expect(answer.headers['x-request-id']).toBe(answer.body.requestId);
  });

  it('believes no header that comes behind the body', async () => {
    const trailers = ['X-Forwarded-For: 203.0.113.7', 'X-API-Key: lk_live_x', `Authorization: Bearer ${TOKEN}`].join(
      '\r\n',
    );
    for (const listener of LISTENERS) {
      const request = `POST ${PATHS[listener]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n2\r\n{}\r\n0\r\n${trailers}\r\n\r\n`;
      expect([401, 405]).toContain((await sendRaw(ports[listener], request)).status);
    }
  });

  it('of metrics shows them for the token alone', async () => {
    expect((await send('metrics', [])).status).toBe(401);
    expect((await send('metrics', [`Authorization: Bearer ${TOKEN}x`])).status).toBe(401);
    const { status, body } = await send('metrics', [`Authorization: Bearer ${TOKEN}`]);
    expect([status, String(body)]).toEqual([200, expect.stringContaining('latchkey_build_info')]);
  });

  it('of localhost counts lines on both of its addresses', async () => {
    const both = await createApp(testConfig(), pool);
    await both.listen(0, 'localhost');
    const { port } = both.getHttpServer().address() as { port: number };
    for (const host of ['127.0.0.1', '::1']) {
      const answer = await answerFrom(host, port, head('main', junk(2_000)));
      // Without IPv6 there is one address.
      if (answer !== null) expect(answer).toMatch(/^HTTP\/1\.1 431 /);
      else expect(host).toBe('::1');
    }
    await both.close();
  });
});

describe('METRICS_PORT', () => {
  const secrets = {
    NODE_ENV: 'test',
    JWT_SECRET: 'a1'.repeat(32),
    API_KEY_PEPPERS: 'b2c3'.repeat(16),
    TAG_KEYS: 'd4e5'.repeat(16),
    RESERVATION_KEY: 'f6a7'.repeat(16),
    AUDIT_KEY: 'b8c9'.repeat(16),
  };
  const drawn = Object.fromEntries(
    Object.entries(secrets).map(([name, text]) => [
      name,
      name === 'NODE_ENV' ? text : `${text}0123456789abcdef${name}`,
    ]),
  );
  const load = (settings: Record<string, string>) => () => loadConfig({ ...drawn, METRICS_PORT: '9464', ...settings });

  it.each(['0.0.0.0', '::', '10.0.0.7', '192.168.1.1', '2001:db8::1', 'keys.internal'])(
    'is refused without a token where HOST is %s',
    (HOST) => {
      expect(load({ HOST })).toThrow(/^METRICS_PORT with a HOST that others reach needs METRICS_TOKEN/);
      expect(load({ HOST, METRICS_TOKEN: TOKEN })().metricsPort).toBe(9464);
    },
  );

  it.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost', '::ffff:127.0.0.1'])('needs none where HOST is %s', (HOST) => {
    expect(load({ HOST })().metricsPort).toBe(9464);
  });
});

describe('MAX_HEADER_LINES', () => {
  it.each(['0', '49', '1000', '-1', 'many'])('is refused as %s', (lines) => {
    expect(() => testConfig({ MAX_HEADER_LINES: lines })).toThrow(
      /MAX_HEADER_LINES|at least 50|at most 999|whole number/,
    );
  });

  it('is 200 where nothing is said', () => {
    expect([testConfig().maxHeaderLines, testConfig({ MAX_HEADER_LINES: '999' }).maxHeaderLines]).toEqual([200, 999]);
  });
});

/** Writes the beginning, and then a piece of the rest again and again, until the connection ends. */
async function dribble(write: Write, beginning: string, piece: string): Promise<void> {
  let isOpen = write(beginning);
  while (isOpen) {
    await sleep(100);
    isOpen = write(piece);
  }
}

/** Resolves once the server has ended the connection. */
async function closed(port: number, act: (write: Write) => Promise<void>): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const write: Write = (text) => {
    if (socket.writable) socket.write(text);
    return socket.writable;
  };
  await Promise.all([ended, act(write)]);
}

/** null where nothing listens. */
function answerFrom(host: string, port: number, request: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    let text = '';
    socket.on('error', () => resolve(text === '' ? null : text));
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('close', () => resolve(text));
    socket.write(request);
  });
}
