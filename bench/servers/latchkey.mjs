/** The product as its users run it: the built server on an embedded PostgreSQL, keys written by its own functions. */
import { randomBytes, createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { macOf, mint } from '../../dist/src/api-keys/secret.js';
import { uuidv7 } from '../../dist/src/common/uuid.js';
import { startEmbeddedPostgres } from '../../dist/src/database/embedded-postgres.js';
import { end, freePort, processorTimeOfPostgres, spawnOn, untilReady } from '../processes.mjs';

const ROOT = new URL('../..', import.meta.url).pathname;

/** Where the server of a build begins: today, and in the first release. */
const entryPointOf = (root) =>
  ['dist/src/server/main.js', 'dist/src/main.js'].find((path) => existsSync(join(root, path)));

const SECRETS = Object.fromEntries(
  ['JWT_SECRET', 'API_KEY_PEPPERS', 'TAG_KEYS', 'RESERVATION_KEY', 'AUDIT_KEY'].map((name) => {
    const text = randomBytes(32).toString('base64url');
    return [name, name.endsWith('S') ? `1:${text}` : text];
  }),
);
const keyOf = (name) => createHash('sha256').update(SECRETS[name].replace(/^1:/, ''), 'utf8').digest();

/** A question that passes every check of a seeded key. */
export const QUESTION = { ip: '203.0.113.7', model: 'gpt-4o-mini', scopes: ['chat:write'] };

export class Latchkey {
  /**
   * `root`: another checkout of the product, built, whose server is run instead of this one's. `settings`: of
   * PostgreSQL, beside the launcher's own.
   */
  static async start({ cpu = 0, replicas = 1, environment = {}, root = ROOT, settings = {} } = {}) {
    const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-bench-'));
    const postgres = await startEmbeddedPostgres({ dataDir, settings });
    const product = new Latchkey(dataDir, postgres, cpu, environment, root);
    for (let index = 0; index < replicas; index += 1) await product.addReplica();
    const answer = await product.call('/auth/login', {
      email: 'admin@latchkey.bench',
      password: 'a password for benches',
    });
    product.adminToken = answer.accessToken;
    const gateway = await product.call('/api-keys', { name: 'bench', roles: ['admin'] });
    product.serviceKey = gateway.secretKey;
    return product;
  }

  constructor(dataDir, postgres, cpu, environment, root) {
    Object.assign(this, { dataDir, postgres, cpu, environment, root, replicas: [] });
  }

  /** `runtime`: the Node to run it with; by default this one. */
  async addReplica({ runtime = process.execPath } = {}) {
    const port = await freePort();
    const child = spawnOn(this.cpu, runtime, [entryPointOf(this.root)], {
      cwd: this.root,
      env: {
        PATH: process.env.PATH,
        NODE_ENV: 'production',
        LOG_LEVEL: 'warn',
        MANAGEMENT_RATE_PER_MINUTE: '1000000',
        PORT: String(port),
        PUBLIC_URL: `http://127.0.0.1:${port}`,
        DATABASE_URL: this.postgres.appUrl,
        DATABASE_MIGRATION_URL: this.postgres.ownerUrl,
        ADMIN_EMAIL: 'admin@latchkey.bench',
        ADMIN_PASSWORD: 'a password for benches',
        ADMIN_PASSWORD_IS_TEMPORARY: 'false',
        ...SECRETS,
        ...this.environment,
      },
    });
    await untilReady(child, `http://127.0.0.1:${port}/health/ready`);
    const replica = { port, child };
    this.replicas.push(replica);
    return replica;
  }

  /** Stops the replica that was added last. */
  async removeReplica() {
    await end(this.replicas.pop().child);
  }

  get port() {
    return this.replicas[0].port;
  }

  get pid() {
    return this.replicas[0].child.pid;
  }

  async call(path, body, { token = this.adminToken, apiKey, method = 'POST', port = this.port } = {}) {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(apiKey ? { 'x-api-key': apiKey } : token ? { authorization: `Bearer ${token}` } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`);
    return text === '' ? null : JSON.parse(text);
  }

  async query(sql, values) {
    const client = new pg.Client({ connectionString: this.postgres.ownerUrl });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** Processor time of PostgreSQL so far, in microseconds. */
  postgresTime() {
    return processorTimeOfPostgres(this.postgres.pid);
  }

  /** Writes `count` keys with every kind of restriction straight into the tables; gives their ids and secrets. */
  async seedKeys(count, limits = { minute: 10_000, hour: 100_000, day: 1_000_000, budgetCents: 1_000_000_000 }) {
    const [{ id: ownerId }] = await this.query(`SELECT id FROM users WHERE email = 'admin@latchkey.bench'`);
    const tagKeys = [{ version: '1', key: keyOf('TAG_KEYS') }];
    const pepper = keyOf('API_KEY_PEPPERS');
    const keys = Array.from({ length: count }, () => {
      const minted = mint({ prefix: 'lk', environment: 'live', tagKeys, randomBytes });
      const id = uuidv7();
      return {
        id,
        kid: minted.kid,
        keyPrefix: minted.keyPrefix,
        mac: macOf(pepper, id, minted),
        secret: minted.secret.reveal(),
      };
    });
    for (let at = 0; at < keys.length; at += 10_000) {
      const chunk = keys.slice(at, at + 10_000);
      await this.query(
        `INSERT INTO api_key (id, owner_id, name, environment, scopes, allowed_ips, allowed_models, tags, metadata,
                              rate_limit_per_minute, rate_limit_per_hour, rate_limit_per_day, budget_limit_micro_cents, budget_type)
         SELECT id, $2, 'Bench key', 'live', '{chat:write,chat:read}', '{203.0.113.0/24,10.0.0.0/8}', '{gpt-4o*,claude-*}', '{bench}', '{"team":"bench"}',
                $3, $4, $5, $6::bigint * 1000000, CASE WHEN $6 IS NULL THEN NULL ELSE 'monthly' END FROM unnest($1::uuid[]) AS id`,
        [chunk.map(({ id }) => id), ownerId, limits.minute, limits.hour, limits.day, limits.budgetCents],
      );
      await this.query(
        `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version)
         SELECT kid, id, 'own', prefix, mac, '1' FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bytea[]) AS row (kid, id, prefix, mac)`,
        [
          chunk.map(({ kid }) => kid),
          chunk.map(({ id }) => id),
          chunk.map(({ keyPrefix }) => keyPrefix),
          chunk.map(({ mac }) => mac),
        ],
      );
    }
    await this.query('ANALYZE');
    return keys;
  }

  /** The bodies of verify calls for these keys, one a line, in a file. */
  async writeBodies(keys, extra = {}) {
    const file = join(this.dataDir, `bodies-${randomBytes(4).toString('hex')}`);
    await writeFile(file, keys.map(({ secret }) => JSON.stringify({ key: secret, ...QUESTION, ...extra })).join('\n'));
    return file;
  }

  /** The bodies of calls of `/verify/batch` with 100 of these keys each, one a line, in a file. */
  async writeBatches(keys) {
    const file = join(this.dataDir, `batches-${randomBytes(4).toString('hex')}`);
    const bodies = [];
    for (let at = 0; at < keys.length; at += 100)
      bodies.push(
        JSON.stringify({ items: keys.slice(at, at + 100).map(({ secret }) => ({ key: secret, ...QUESTION })) }),
      );
    await writeFile(file, bodies.join('\n'));
    return file;
  }

  async stop() {
    await Promise.all(this.replicas.map(({ child }) => end(child)));
    await this.postgres.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
