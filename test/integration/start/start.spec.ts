import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const SECRETS = {
  JWT_SECRET: 'jwt-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  API_KEY_PEPPERS: '1:pepper-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  TAG_KEYS: '1:tag-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  RESERVATION_KEY: 'reservation-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  AUDIT_KEY: 'audit-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
};

/** The server's entry point as a process of its own, from the sources. */
class Started {
  stdout = '';
  stderr = '';
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;

  constructor(environment: Record<string, string>, args: string[] = []) {
    this.child = spawn(process.execPath, ['--import', './test/support/register-typescript.mjs', 'src/main.ts', ...args], {
      env: { PATH: process.env['PATH'], ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
  }

  async until(text: string): Promise<void> {
    for (const deadline = Date.now() + 25_000; !this.stderr.includes(text); await sleep(50)) {
      if (Date.now() > deadline || this.child.exitCode !== null) throw new Error(`It did not say ${text}:\n${this.stdout}\n${this.stderr}`);
    }
  }

  terminate(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.ended;
  }
}

describe('a start', () => {
  let database: TestDatabase;
  let environment: Record<string, string>;
  let port: number;

  beforeAll(async () => {
    database = await createTestDatabase();
    port = await freePort();
    environment = { ...SECRETS, DATABASE_URL: database.appUrl, DATABASE_MIGRATION_URL: database.ownerUrl, PORT: String(port), LOG_LEVEL: 'debug' };
  });
  afterAll(() => database.drop());

  it('with --demo is refused in production, before anything is touched', async () => {
    const server = new Started({ ...environment, NODE_ENV: 'production', DATABASE_URL: 'postgres://127.0.0.1:1/none' }, ['--demo']);
    expect(await server.ended).toBe(1);
    expect(server.stderr).toContain('Latchkey cannot start:\n--demo is refused with NODE_ENV=production');
  });

  it('with an option nobody knows is refused in a sentence', async () => {
    const server = new Started(environment, ['--dmeo']);
    expect(await server.ended).toBe(1);
    expect(server.stderr).toMatch(/Latchkey cannot start:\n.*--dmeo/);
    expect(server.stderr).not.toContain('    at ');
  });

  it('keeps log and banner apart, warns of nothing, and logs named fields alone', async () => {
    const server = new Started(environment, ['--demo']);
    await server.until('a gateway');
    const base = `http://127.0.0.1:${port}`;
    await fetch(`${base}/api/v1/auth/me?canary-query=1`, { headers: { authorization: 'Bearer canary-token', 'user-agent': 'canary-agent', 'x-api-key': 'canary-key', cookie: 'canary=cookie' } });
    await fetch(`${base}/api/v1/canary-path`);
    await fetch(`${base}/api/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ email: 'canary@example.com', password: 'canary-password' }) });
    await fetch(`${base}/%zz?canary-url`);
    // A connection that never asks for anything, as browsers open them, keeps nobody from ending.
    const silent = await silentConnection(port);
    expect(await server.terminate()).toBe(0);
    silent.destroy();

    expect(server.stderr).not.toMatch(/warning|deprecat|FSTDEP|DEP0/i);
    expect(server.stderr).not.toContain('{"level"');
    const lines = server.stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    const requests = lines.filter(({ msg }) => msg === 'request');
    expect(requests.map(({ method, route, status }) => [method, route, status])).toEqual([
      ['GET', '/api/v1/auth/me', 401],
      ['GET', undefined, 404],
      ['POST', '/api/v1/auth/login', 401],
    ]);
    const allowed = new Set(['level', 'time', 'requestId', 'method', 'route', 'status', 'durationMs', 'principal', 'msg']);
    expect(requests.flatMap((line) => Object.keys(line)).filter((field) => !allowed.has(field))).toEqual([]);
    expect(server.stdout).not.toContain('canary');
    expect(server.stdout.match(/"requestId":"[^"]+"[^\n]*"requestId"/)).toBeNull();
    for (const secret of Object.values(SECRETS)) expect(server.stdout + server.stderr).not.toContain(secret.replace(/^1:/, ''));
  });
});

async function silentConnection(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return socket;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
