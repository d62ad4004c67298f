import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Socket, connect } from 'node:net';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { SECRETS, Started } from './started.js';
import { freePort } from '../../support/free-port.js';

describe('a start', () => {
  let database: TestDatabase;
  let environment: Record<string, string>;
  let port: number;

  beforeAll(async () => {
    database = await createTestDatabase();
    port = await freePort();
    environment = {
      ...SECRETS,
      DATABASE_URL: database.appUrl,
      DATABASE_MIGRATION_URL: database.ownerUrl,
      PORT: String(port),
      LOG_LEVEL: 'debug',
    };
  });
  afterAll(() => database.drop());

  it('with --demo is refused in production, before anything is touched', async () => {
    const server = Started.fromSources(
      { ...environment, NODE_ENV: 'production', DATABASE_URL: 'postgres://127.0.0.1:1/none' },
      ['--demo'],
    );
    expect(await server.ended).toBe(1);
    expect(server.stderr).toContain('Latchkey cannot start:\n--demo is refused with NODE_ENV=production');
  });

  it('with an option nobody knows is refused in a sentence', async () => {
    const server = Started.fromSources(environment, ['--dmeo']);
    expect(await server.ended).toBe(1);
    expect(server.stderr).toMatch(/Latchkey cannot start:\n.*--dmeo/);
    expect(server.stderr).not.toContain('    at ');
  });

  it('keeps log and banner apart, warns of nothing, and logs named fields alone', async () => {
    const server = Started.fromSources(environment, ['--demo']);
    await server.until('a gateway');
    const base = `http://127.0.0.1:${port}`;
    await fetch(`${base}/api/v1/auth/me?canary-query=1`, {
      headers: {
        authorization: 'Bearer canary-token',
        'user-agent': 'canary-agent',
        'x-api-key': 'canary-key',
        cookie: 'canary=cookie',
      },
    });
    await fetch(`${base}/api/v1/canary-path`);
    // What the terminal shows alone: a key that works, and none of it in what anybody can read.
    const shown = server.stderr.match(/lk_live_\w{60,}/g) ?? [];
    const readable = await Promise.all(
      ['/docs-json', '/docs', '/docs/swagger-ui-init.js', '/console'].map(async (path) =>
        (await fetch(`${base}${path}`)).text(),
      ),
    );
    expect(shown.length).toBeGreaterThanOrEqual(2);
    for (const secret of shown) expect(readable.join('\n')).not.toContain(secret);
    await fetch(`${base}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'canary@example.com', password: 'canary-password' }),
    });
    await fetch(`${base}/%zz?canary-url`);
    // A connection that never asks for anything, as browsers open them, keeps nobody from ending.
    const silent = await silentConnection(port);
    expect(await server.end('SIGTERM')).toBe(0);
    silent.destroy();

    expect(server.stderr).not.toMatch(/warning|deprecat|FSTDEP|DEP0/i);
    expect(server.stderr).not.toContain('"level":');
    expect(server.stdout).toContain(
      'The console’s cookie is latchkey_session, which other servers of this host name can read and set',
    );
    const requests = server.lines().filter(({ msg }) => msg === 'request');
    // A line is written once its answer has left, and a long one is compressed meanwhile.
    expect(requests.map(({ method, route, status }) => [method, route, status].map(String).join(' ')).sort()).toEqual([
      'GET /api/v1/auth/me 401',
      'GET /console 200',
      'GET /docs 200',
      'GET /docs-json 200',
      'GET /docs/swagger-ui-init.js 200',
      'GET undefined 404',
      'POST /api/v1/auth/login 401',
    ]);
    const allowed = new Set([
      'level',
      'time',
      'pid',
      'requestId',
      'method',
      'route',
      'status',
      'durationMs',
      'principal',
      'clientIp',
      'msg',
    ]);
    expect(requests.flatMap((line) => Object.keys(line)).filter((field) => !allowed.has(field))).toEqual([]);
    expect(server.stdout).not.toContain('canary');
    expect(server.stdout.match(/"requestId":"[^"]+"[^\n]*"requestId"/)).toBeNull();
    for (const secret of Object.values(SECRETS))
      expect(server.stdout + server.stderr).not.toContain(secret.replace(/^1:/, ''));
  });

  it('warns in log and banner where ID tokens of the console have the audience of bearer tokens', async () => {
    const provider = {
      OIDC_ISSUER: 'https://login.example.com',
      OIDC_JWKS_URI: 'https://login.example.com/jwks',
      OIDC_AUDIENCE: 'console',
      OIDC_CLIENT_ID: 'console',
    };
    const server = Started.fromSources({ ...environment, ...provider });
    await server.until('OIDC_AUDIENCE and OIDC_CLIENT_ID are the same');
    expect(await server.end('SIGTERM')).toBe(0);
    expect(
      server
        .lines()
        .filter(
          ({ level, msg }) =>
            level === 'warn' && String(msg).startsWith('OIDC_AUDIENCE and OIDC_CLIENT_ID are the same'),
        ),
    ).toHaveLength(1);
  });
});

async function silentConnection(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return socket;
}
