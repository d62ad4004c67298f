/**
 * `node scripts/make-schema-fixture.mjs --release 2 --database postgres://… [--server <checkout>] [--pg-dump <file>]`:
 * makes the fixture of a release in test/fixtures/schema-<release>: `dump.sql`, data that a server of this release
 * made, and `facts.json`, the secrets that go with it and what is true of it. `--server` is the checkout of the
 * release, built; the database is empty, and of PostgreSQL 15, so that the dump loads everywhere. See CONTRIBUTING.md,
 * "Releasing".
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import pg from 'pg';

const { values: options } = parseArgs({
  options: {
    release: { type: 'string' },
    database: { type: 'string' },
    server: { type: 'string', default: fileURLToPath(new URL('../', import.meta.url)) },
    'pg-dump': { type: 'string', default: '/usr/lib/postgresql/15/bin/pg_dump' },
  },
});
if (!options.release || !options.database) throw new Error('Give --release and --database.');

/** Of this fixture alone, and of no use anywhere else. */
const SECRETS = Object.fromEntries(
  ['JWT_SECRET', 'API_KEY_PEPPERS', 'TAG_KEYS', 'RESERVATION_KEY', 'AUDIT_KEY'].map((name) => {
    const value = `fixture-only-not-a-secret-${name.toLowerCase()}-${options.release}`;
    return [name, ['API_KEY_PEPPERS', 'TAG_KEYS'].includes(name) ? `1:${value}` : value];
  }),
);
const ADMIN = { email: 'admin@latchkey.test', password: 'a password for fixtures' };
const IMPORTED = `imported-${'0123456789abcdef'.repeat(2)}`;

const database = new pg.Client({ connectionString: options.database });
await database.connect();
const port = await freePort();
const server = spawn(process.execPath, ['dist/src/server/main.js'], {
  cwd: options.server,
  env: {
    PATH: process.env.PATH,
    NODE_ENV: 'test',
    LOG_LEVEL: 'warn',
    PORT: String(port),
    DATABASE_URL: options.database,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    ADMIN_PASSWORD_IS_TEMPORARY: 'false',
    ...SECRETS,
  },
  stdio: ['ignore', 'ignore', 'inherit'],
});
const ended = new Promise((resolve) => server.once('exit', resolve));
let facts;
try {
  await until(
    'the server is ready',
    async () => (await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => null))?.status === 200,
  );
  facts = await fill();
  await until('there is a checkpoint', async () => (await database.query('SELECT FROM audit_checkpoint')).rowCount > 0);
} finally {
  server.kill('SIGTERM');
  await ended;
}
const { rows } = await database.query(
  'SELECT (SELECT count(*)::int FROM usage_event) AS events, (SELECT count(*)::int FROM audit_event) AS entries, (SELECT count(*)::int FROM budget_lease) AS leases',
);
await database.end();
if (rows[0].leases === 0) throw new Error('No reservation is open.');
const folder = new URL(`../test/fixtures/schema-${options.release}/`, import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(new URL('dump.sql', folder), await dump());
await writeFile(new URL('facts.json', folder), `${JSON.stringify({ ...facts, ...rows[0] }, null, 2)}\n`);

/** What a year of use leaves, in small. */
async function fill() {
  const { accessToken: token } = await call('POST', '/auth/login', { body: ADMIN });
  const as = (body) => ({ token, body });
  await call(
    'POST',
    '/roles',
    as({
      name: 'analyst',
      description: 'Reads usage.',
      permissions: ['platform:usage:read'],
      keyPolicy: { maxValidityDays: 90, maxRateLimitPerMinute: 120 },
    }),
  );
  const person = await call(
    'POST',
    '/users',
    as({
      name: 'Ada Lovelace',
      email: 'ada@latchkey.test',
      password: 'a password of the person',
      roles: ['creator', 'analyst'],
    }),
  );
  const leaver = await call(
    'POST',
    '/users',
    as({ name: 'Grace Hopper', email: 'grace@latchkey.test', roles: ['user'] }),
  );
  const service = await call('POST', '/users', as({ name: 'gateway', kind: 'service', roles: ['gateway'] }));
  const keys = {};
  const create = async (name, fields = {}) => {
    const made = await call('POST', '/api-keys', as({ name, ...fields }));
    return (keys[name] = { id: made.apiKey.id, secret: made.secretKey });
  };
  const caller = await create('caller', { ownerId: service.id, roles: ['gateway'] });
  await create('plain', {
    ownerId: person.id,
    scopes: ['chat'],
    tags: ['team-a'],
    alias: 'plain-one',
    metadata: { cost: 'centre 7' },
    description: 'With all that is said of a key.',
  });
  await create('test', {
    environment: 'test',
    allowedIps: ['203.0.113.0/24'],
    allowedModels: ['gpt-4o*'],
    allowedChatbots: ['support'],
  });
  const total = await create('total', { ownerId: person.id, budgetLimitCents: 100 });
  const monthly = await create('monthly', { budgetLimitCents: 50, budgetType: 'monthly' });
  await create('limited', { rateLimitPerMinute: 60, rateLimitPerHour: 1000, rateLimitPerDay: 10_000 });
  const revoked = await create('revoked', { ownerId: leaver.id });
  await create('expired', { expiresAt: new Date(Date.now() + 2_000).toISOString() });
  const inactive = await create('inactive');
  const replaced = await create('replaced');
  const deleted = await create('deleted');
  await call(
    'POST',
    '/api-keys/import',
    as({
      keys: [
        {
          name: 'imported',
          sha256: createHash('sha256').update(IMPORTED).digest('hex'),
          prefix: IMPORTED.slice(0, 12),
        },
      ],
    }),
  );

  const verify = (key, more = {}) => call('POST', '/verify', { apiKey: caller.secret, body: { key, ...more } });
  for (const { secret } of Object.values(keys))
    await verify(secret, { ip: '203.0.113.7', model: 'gpt-4o-mini', chatbot: 'support', scopes: [] });
  for (let time = 0; time < 5; time += 1) await verify(keys.limited.secret, { cost: 2 });
  const reserve = async ({ secret }, cents) =>
    (await verify(secret, { reserveCents: cents, reservationTtlSeconds: 1800 })).reservation.id;
  const open = { id: await reserve(total, 9), keyId: total.id, cents: 9 };
  const openMonthly = { id: await reserve(monthly, 4), keyId: monthly.id, cents: 4 };
  const settled = await reserve(total, 5);
  const released = await reserve(monthly, 3);
  const report = (events) => call('POST', '/usage', { apiKey: caller.secret, body: { events } });
  const booked = {
    id: 'booked-by-the-old-build',
    apiKeyId: total.id,
    costCents: 7.25,
    inputTokens: 1200,
    outputTokens: 340,
    model: 'gpt-4o-mini',
    endpoint: '/v1/chat',
    statusCode: 200,
    latencyMs: 812.5,
  };
  await report([
    booked,
    { id: 'settles', apiKeyId: total.id, reservationId: settled, costCents: 4.5, model: 'gpt-4o' },
  ]);
  for (let batch = 0; batch < 4; batch += 1) {
    await report(
      Array.from({ length: 10 }, (_, n) => ({
        id: `event-${batch}-${n}`,
        apiKeyId: [monthly, total, replaced, deleted][batch].id,
        costCents: n / 8,
        inputTokens: n * 10,
        model: ['gpt-4o-mini', 'gpt-4o', 'o3'][n % 3],
        chatbot: 'support',
      })),
    );
  }
  await call('POST', '/reservations/release', { apiKey: caller.secret, body: { reservationId: released } });

  await call('POST', `/api-keys/${revoked.id}/revoke`, as({ reason: 'leaked' }));
  await call('POST', `/api-keys/${inactive.id}/deactivate`, { token });
  const again = await call('POST', `/api-keys/${replaced.id}/regenerate`, {
    ...as({ overlapSeconds: 86_400 }),
    headers: { 'idempotency-key': 'fixture' },
  });
  await call('DELETE', `/api-keys/${deleted.id}/permanent`, { token });
  await call('DELETE', `/users/${leaver.id}?keys=revoke`, { token });
  await call('PATCH', `/api-keys/${keys.plain.id}`, as({ rateLimitPerMinute: 600 }));
  await call('GET', `/api-keys/${deleted.id}`, { token, status: 404 });
  await sleep(2_500);
  const codes = {};
  const presented = { ...keys, 'replaced, new secret': { secret: again.secretKey }, imported: { secret: IMPORTED } };
  for (const [name, { secret }] of Object.entries(presented)) {
    codes[name] = {
      secret,
      code: (await verify(secret, { ip: '203.0.113.7', model: 'gpt-4o-mini', chatbot: 'support' })).code,
    };
  }
  const usage = {};
  for (const name of ['total', 'replaced']) {
    const { totalRequests, totalCostCents } = await call('GET', `/api-keys/${keys[name].id}/usage`, { token });
    usage[name] = { totalRequests, totalCostCents };
  }
  return {
    release: options.release,
    secrets: SECRETS,
    admin: ADMIN,
    caller: caller.secret,
    usage,
    ids: Object.fromEntries(Object.entries(keys).map(([name, { id }]) => [name, id])),
    codes,
    open,
    openMonthly,
    booked,
  };
}

/** The parsed answer; anything but the wanted status ends this. */
async function call(method, path, { token, apiKey, body, headers = {}, status } = {}) {
  const response = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(apiKey === undefined ? {} : { 'x-api-key': apiKey }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (status === undefined ? !response.ok : response.status !== status)
    throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === '' ? null : JSON.parse(text);
}

/** Plain SQL, without the meta-commands of psql and without what differs between installations. */
async function dump() {
  const args = [
    '--inserts',
    '--rows-per-insert=100',
    '--no-owner',
    '--no-privileges',
    '--no-comments',
    `--dbname=${options.database}`,
  ];
  const { stdout } = await promisify(execFile)(options['pg-dump'], args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout
    .split('\n')
    .filter((line) => !line.startsWith('\\') && !/^--( |$)/.test(line))
    .join('\n')
    .replace(/\n{3,}/g, '\n\n');
}

async function until(what, holds) {
  for (const deadline = Date.now() + 90_000; !(await holds()); await sleep(200)) {
    if (Date.now() > deadline || server.exitCode !== null) throw new Error(`Not so: ${what}.`);
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port: free } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return free;
}
