import { LatchkeyClient, type LatchkeyClientOptions } from '@latchkey/client';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { Replica } from '../proofs/harness/cluster.js';
import { TcpProxy } from '../proofs/harness/tcp-proxy.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { freePort } from '../support/free-port.js';

const ADMIN = { email: 'admin@latchkey.test', password: 'a password for tests' };

/** The built server as a process of its own, behind a proxy that can break, as is its way to the database. */
export class LatchkeyServer {
  private constructor(
    readonly database: TestDatabase,
    private readonly server: Replica,
    private readonly environment: Readonly<Record<string, string>>,
    /** Between clients and the server. */
    readonly proxy: TcpProxy,
    /** Between the server and PostgreSQL. */
    readonly databaseProxy: TcpProxy,
    readonly adminToken: string,
    private readonly clients: LatchkeyClient[] = [],
  ) {}

  static async start(): Promise<LatchkeyServer> {
    const database = await createTestDatabase();
    const databaseProxy = await TcpProxy.start(Number(new URL(database.appUrl).port));
    const port = await freePort();
    const environment = {
      NODE_ENV: 'test',
      DATABASE_URL: through(databaseProxy, database.appUrl),
      DATABASE_MIGRATION_URL: through(databaseProxy, database.ownerUrl),
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      ADMIN_PASSWORD_IS_TEMPORARY: 'false',
      LOG_LEVEL: 'error',
      MAX_ACTIVE_KEYS: '1000',
      MANAGEMENT_RATE_PER_MINUTE: '1000000',
      ...secrets(),
    };
    const server = new Replica('server', port, environment);
    await server.start();
    const answer = await server.client.post('/auth/login', { body: ADMIN });
    return new LatchkeyServer(
      database,
      server,
      environment,
      await TcpProxy.start(port),
      databaseProxy,
      answer.body.accessToken as string,
    );
  }

  /** For clients. */
  get url(): string {
    return `http://127.0.0.1:${this.proxy.port}`;
  }

  /** A client of the admin's, past the proxy: what the books say. */
  admin(): LatchkeyClient {
    return this.track(new LatchkeyClient({ baseUrl: this.server.url, key: this.adminToken }));
  }

  /** The client of a service, with a key that may verify and report. */
  async service(options: Partial<LatchkeyClientOptions> = {}): Promise<LatchkeyClient> {
    return this.track(new LatchkeyClient({ baseUrl: this.url, key: await this.serviceKey(), ...options }));
  }

  /** A key that may verify and report. */
  async serviceKey(): Promise<string> {
    return (await this.admin().keys.create({ name: 'A service', roles: ['gateway'] })).secretKey;
  }

  kill(): Promise<unknown> {
    return this.server.end('SIGKILL');
  }

  /** Starts it again where clients look for it. */
  restart(): Promise<void> {
    return this.server.start();
  }

  /** What the doctor says of the books, and the code it ends with. */
  async doctor(): Promise<{ exitCode: number | null; report: string }> {
    const child = spawn(process.execPath, ['dist/src/cli/doctor.js'], {
      env: { PATH: process.env['PATH'], ...this.environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { exitCode, report: Buffer.concat(chunks).toString() };
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close({ timeoutMs: 0 })));
    await this.proxy.stop();
    await this.server.end('SIGKILL');
    this.server.client.close();
    await this.databaseProxy.stop();
    await this.database.drop();
  }

  private track(client: LatchkeyClient): LatchkeyClient {
    this.clients.push(client);
    return client;
  }
}

/** Made-up key material, which survives a restart of the process. */
function secrets(): Record<string, string> {
  const draw = () => randomBytes(32).toString('base64url');
  return {
    JWT_SECRET: draw(),
    API_KEY_PEPPERS: `1:${draw()}`,
    TAG_KEYS: `1:${draw()}`,
    RESERVATION_KEY: draw(),
    AUDIT_KEY: draw(),
  };
}

function through(proxy: TcpProxy, url: string): string {
  const changed = new URL(url);
  changed.port = String(proxy.port);
  return changed.href;
}
