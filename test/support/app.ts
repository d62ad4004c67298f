import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { hash } from '@node-rs/argon2';
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:net';
import { DataSource } from 'typeorm';
import { bindPassword } from '../../src/access/credential-binding.js';
import { Changes } from '../../src/audit/changes.js';
import { type AppOptions, createApp } from '../../src/server/app.setup.js';
import { ChangePropagation } from '../../src/audit/change-propagation.js';
import { Config } from '../../src/config/config.js';
import { environmentSchema } from '../../src/config/environment.js';
import { dataSource } from '../../src/database/data-source.js';
import { entities } from '../../src/server/entities.js';
import { TableWatch } from '../../src/integrity/table-watch.js';
import { SEEDED_ROLES, seed } from '../../src/users/seed.js';
import { uuidv7 } from '../../src/common/uuid.js';
import { allowArchiving, allowSealing } from './allow-sealing.js';
import { createTestDatabase, type TestDatabase } from './postgres.js';
import { textOf } from './endless.js';

/** As long as the first of a stream is waited for, in milliseconds. */
const STREAM_PATIENCE_MS = 2_000;
export const ADMIN = { email: 'admin@latchkey.test', password: `a "password" for test's $HOME \\ sake` };

/** Key material of the tests; no random, so that several apps share a database. */
const SECRETS = {
  JWT_SECRET: 'jwt-0123456789abcdefghijklmnopqrstuvwxyz-secret',
  API_KEY_PEPPERS: '1:pepper-0123456789abcdefghijklmnopqrstuvwxyz-01',
  TAG_KEYS: '1:tag-0123456789abcdefghijklmnopqrstuvwxyz-tags',
  RESERVATION_KEY: 'reservation-0123456789abcdefghijklmnopqrstuvwxyz',
  AUDIT_KEY: 'audit-0123456789abcdefghijklmnopqrstuvwxyz-keys',
};

/** Tests send more than a person does. */
const UNBOUNDED = { MANAGEMENT_RATE_PER_MINUTE: '1000000', CREATIONS_PER_DAY: '1000000' };

/** A configuration for tests, with the given variables on top. */
export function testConfig(overrides: Record<string, string> = {}): Config {
  const { API_KEY_PEPPERS, TAG_KEYS, ...rest } = { ...SECRETS, ...overrides };
  const environment = environmentSchema.parse({
    NODE_ENV: 'test',
    LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
    ...UNBOUNDED,
    ...rest,
  });
  return new Config(environment, { ...SECRETS, ...overrides, API_KEY_PEPPERS, TAG_KEYS });
}

export interface Answer {
  status: number;
  headers: Headers;
  /** Parsed JSON, or the text where it is none. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the assertions are what gives it a type
  body: any;
}

export interface RequestOptions {
  token?: string;
  apiKey?: string;
  headers?: Record<string, string>;
  body?: unknown;
  /** Sent as it is, with no content type unless `headers` says so. */
  rawBody?: string;
}

/** Sends a request as `TestApp.request` does. */
export type Send = (method: string, path: string, options: RequestOptions) => Promise<Answer>;

/** How an application of the tests is started. */
export interface StartOptions extends AppOptions {
  /** Keeps the port of the application until it listens itself: no other test is given it meanwhile. */
  readonly keeper?: Server;
}

/** One whole application over real HTTP, on a database of its own. */
export class TestApp {
  /** Settings of every application that is started from now on. */
  static settings: Record<string, string> = {};
  /** Sees, or sends in its own way, every request of every application. */
  static through: ((app: TestApp, send: Send, ...request: Parameters<Send>) => Promise<Answer>) | null = null;

  private constructor(
    readonly app: NestFastifyApplication,
    readonly config: Config,
    readonly database: TestDatabase,
    readonly dataSource: DataSource,
    readonly baseUrl: string,
    private readonly ownsDatabase: boolean,
  ) {}

  /** `database` shares the database of another app: a second replica. */
  static async start(
    overrides: Record<string, string> = {},
    database?: TestDatabase,
    { keeper, ...options }: StartOptions = {},
  ): Promise<TestApp> {
    const config = testConfig({ ...TestApp.settings, ...overrides });
    const own = database ?? (await createTestDatabase());
    const pool = await dataSource(own.appUrl, { max: 10, entities }).initialize();
    if (config.auditArchive !== null) await allowSealing(own, config.auditArchive.keepMonths);
    if (config.usageArchive !== null) await allowArchiving(own, config.usageArchive.keepMonths);
    // As in an installation of before: creators without bounds. What a new one has is tested by itself.
    const roles = SEEDED_ROLES.map((role) => ({ ...role, keyPolicy: null }));
    await seed(new Changes(pool, config), ADMIN, config, roles);
    const app = await createApp(config, pool, options);
    // Tests write past the trail, users among it; half a minute after a start it would say so at /health.
    await app.get(TableWatch, { strict: false }).onModuleDestroy();
    if (keeper !== undefined) await new Promise((resolve) => keeper.close(resolve));
    await app.listen('PORT' in overrides ? config.port : 0, '127.0.0.1');
    const address = app.getHttpServer().address() as { port: number };
    return new TestApp(app, config, own, pool, `http://127.0.0.1:${address.port}`, database === undefined);
  }

  async stop(): Promise<void> {
    await this.app.close();
    await this.dataSource.destroy();
    if (this.ownsDatabase) await this.database.drop();
  }

  /** A request below /api/v1, or at the root for paths that begin with `//`. */
  request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const send: Send = (...request) => this.send(...request);
    return TestApp.through === null ? send(method, path, options) : TestApp.through(this, send, method, path, options);
  }

  private async send(method: string, path: string, options: RequestOptions): Promise<Answer> {
    const url = path.startsWith('//') ? `${this.baseUrl}${path.slice(1)}` : `${this.baseUrl}/api/v1${path}`;
    const headers: Record<string, string> = {
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...(options.apiKey === undefined ? {} : { 'x-api-key': options.apiKey }),
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    };
    const body = options.rawBody ?? (options.body === undefined ? null : JSON.stringify(options.body));
    const response = await fetch(url, { method, headers, body, redirect: 'manual' });
    const text = await textOf(path, response, STREAM_PATIENCE_MS);
    return { status: response.status, headers: response.headers, body: parsed(text) };
  }

  get(path: string, options?: RequestOptions): Promise<Answer> {
    return this.request('GET', path, options);
  }

  post(path: string, options?: RequestOptions): Promise<Answer> {
    return this.request('POST', path, options);
  }

  put(path: string, options?: RequestOptions): Promise<Answer> {
    return this.request('PUT', path, options);
  }

  patch(path: string, options?: RequestOptions): Promise<Answer> {
    return this.request('PATCH', path, options);
  }

  delete(path: string, options?: RequestOptions): Promise<Answer> {
    return this.request('DELETE', path, options);
  }

  /**
   * Resolves once every replica has applied what was committed before the call: what was changed counts from then on.
   */
  async applied(): Promise<void> {
    await this.app.get(ChangePropagation, { strict: false }).waitUntilApplied(null);
  }

  /** A bearer token of the seeded admin. */
  adminToken(): Promise<string> {
    return this.tokenOf(ADMIN.email, ADMIN.password);
  }

  async tokenOf(email: string, password: string): Promise<string> {
    const answer = await this.post('/auth/login', { body: { email, password } });
    if (answer.status !== 200) throw new Error(`sign-in failed: ${JSON.stringify(answer.body)}`);
    return answer.body.accessToken as string;
  }

  /** Adds a role straight into the database. */
  async addRole(name: string, permissions: readonly string[], keyPolicy: unknown = null): Promise<void> {
    await this.dataSource.query('INSERT INTO role (name, permissions, key_policy) VALUES ($1, $2, $3)', [
      name,
      permissions,
      keyPolicy,
    ]);
  }

  /** Adds a user with a session, straight into the database; returns the id and a bearer token. */
  async addUser(
    roles: readonly string[] = ['creator'],
    fields: { kind?: 'person' | 'service'; managerIds?: string[]; maxActiveKeys?: number } = {},
  ): Promise<TestUser> {
    const id = uuidv7();
    const email = `${randomBytes(6).toString('hex')}@latchkey.test`;
    const person = fields.kind !== 'service';
    const bound = person ? bindPassword(this.config.peppers, id, await passwordHash()) : null;
    await this.dataSource.query(
      `INSERT INTO users (id, email, name, kind, password_hash, max_active_keys, password_binding, password_binding_version)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [
        id,
        email,
        `User ${email}`,
        fields.kind ?? 'person',
        bound?.hash ?? null,
        fields.maxActiveKeys ?? null,
        bound?.binding.mac ?? null,
        bound?.binding.version ?? null,
      ],
    );
    for (const role of roles) await this.dataSource.query('INSERT INTO user_role VALUES ($1, $2)', [id, role]);
    for (const manager of fields.managerIds ?? [])
      await this.dataSource.query('INSERT INTO user_manager VALUES ($1, $2)', [id, manager]);
    return { id, email, password: ADMIN.password, token: person ? await this.tokenOf(email, ADMIN.password) : '' };
  }
}

export interface TestUser {
  id: string;
  email: string;
  password: string;
  /** Empty for service accounts, who cannot sign in. */
  token: string;
}

let cachedHash: Promise<string> | undefined;

/** As cheap as argon2 goes: what a sign-in costs is not what hundreds of users are made for. */
function passwordHash(): Promise<string> {
  return (cachedHash ??= hash(ADMIN.password, { memoryCost: 8, timeCost: 1, parallelism: 1 }));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
