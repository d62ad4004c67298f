/**
 * Lists at scale: seeds keys by SQL, starts the built server on them, and measures over HTTP what a page, a filter, a
 * search and an order cost. Each case is bounded: p95 of at most 50 ms. Writes bench/results/lists.json, with the plan
 * of every statement behind the slowest path of each case, and ends with 1 if a bound is missed.
 *
 *   npm run build && node bench/lists.mjs [--keys 1000000] [--requests 200] [--keep <directory>] [--only <pattern>]
 *
 * With --keep the database stays in that directory, and a second run finds it there instead of seeding anew. With
 * --only just the cases whose name matches are measured, and nothing is written.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { ApiKeyListsRepository } from '../dist/src/api-keys/lists/api-key-lists.repository.js';
import { conditionOf } from '../dist/src/api-keys/lists/key-conditions.js';
import { orderOf } from '../dist/src/api-keys/lists/key-sort.js';
import { loadConfig } from '../dist/src/config/config.js';
import { startEmbeddedPostgres } from '../dist/src/database/embedded-postgres.js';
import { migrate } from '../dist/src/database/migrate.js';

const { values: options } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    requests: { type: 'string', default: '200' },
    keep: { type: 'string' },
    only: { type: 'string' },
  },
});
const KEYS = Number(options.keys);
const REQUESTS = Number(options.requests);
const ONLY = options.only === undefined ? null : new RegExp(options.only);
const WARM_UP_REQUESTS = 20;
const BOUND_MS = 50;
const OWNERS = 10_000;
const ADMIN = { email: 'admin@latchkey.local', password: randomBytes(18).toString('base64url') };

const root = fileURLToPath(new URL('../', import.meta.url));
const dataDir = options.keep ?? (await mkdtemp(join(tmpdir(), 'latchkey-bench-')));
await mkdir(dataDir, { recursive: true });
await chmod(dataDir, 0o755);
// Before the database: its secrets are drawn for an empty directory alone.
const { peppers } = loadConfig({ DATA_DIR: dataDir });
const database = await startEmbeddedPostgres({ dataDir, log: (line) => console.log(line) });
let server;
let client;
try {
  await migrate(database.ownerUrl);
  client = new pg.Client({ connectionString: database.ownerUrl });
  await client.connect();
  // The server first: its own seed makes roles and the admin in a database without users only.
  server = await startServer();
  await seed(client);
  const report = await measure(client);
  if (ONLY === null) {
    await mkdir(join(root, 'bench/results'), { recursive: true });
    await writeFile(join(root, 'bench/results/lists.json'), `${JSON.stringify(report, null, 2)}\n`);
  }
  print(report);
  const missed = report.cases.filter((one) => one.boundMs !== null && one.p95Ms > one.boundMs);
  if (missed.length > 0) {
    console.error(`Over the bound of ${BOUND_MS} ms at p95: ${missed.map((one) => one.name).join(', ')}`);
    process.exitCode = 1;
  }
} finally {
  await client?.end();
  await server?.stop();
  await database.stop();
  if (options.keep === undefined) await rm(dataDir, { recursive: true, force: true });
}

/** Keys of three years, unevenly spread over owners, tags and words, as real ones are. */
async function seed(client) {
  const { rows } = await client.query('SELECT count(*)::int AS count FROM (SELECT 1 FROM api_key LIMIT $1) k', [KEYS]);
  if (rows[0].count >= KEYS) return console.log(`Found ${KEYS} keys.`);
  const started = performance.now();
  await client.query('TRUNCATE api_key CASCADE');
  await client.query(
    `INSERT INTO users (id, email, name, kind) SELECT gen_random_uuid(), 'owner-' || n || '@bench.local', 'Owner ' || n, 'person'
       FROM generate_series(1, $1::int) n ON CONFLICT DO NOTHING`,
    [OWNERS],
  );
  // Indexes are built once over all rows, not row by row; the trigger's work is done by the seed itself.
  const indexes = await client.query(
    `SELECT i.indexname AS name, i.indexdef AS definition FROM pg_indexes i
      WHERE i.tablename IN ('api_key', 'api_key_secret', 'key_totals', 'budget_account') AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conname = i.indexname)`,
  );
  for (const { name } of indexes.rows) await client.query(`DROP INDEX ${name}`);
  await client.query('ALTER TABLE api_key_secret DISABLE TRIGGER api_key_secret_note_prefix');
  await client.query('ALTER TABLE api_key DISABLE TRIGGER USER');
  await client.query(`SET maintenance_work_mem = '512MB'`);
  await client.query('SELECT setseed(0.42)');
  await client.query(
    `INSERT INTO api_key (id, owner_id, name, alias, description, environment, is_active, deactivated_at, scopes, tags, expires_at,
                          created_at, updated_at, revoked_at, secret_prefixes, budget_limit_micro_cents, budget_type)
     SELECT (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0') || substr(md5(n::text), 1, 20))::uuid,
            owners.ids[1 + floor($2::int * r1 ^ 3)::int],
            initcap(words[1 + floor(40 * r2 ^ 2)::int]) || ' ' || kinds[1 + floor(8 * r3)::int] || ' ' || n,
            CASE WHEN r4 < 0.3 THEN words[1 + floor(40 * r3)::int] || '-' || n END,
            CASE WHEN r5 < 0.6 THEN 'Used by the ' || words[1 + floor(40 * r4)::int] || ' team for ' || words[1 + floor(40 * r6)::int] || ' in ' || regions[1 + floor(6 * r5)::int] END,
            CASE WHEN r6 < 0.15 THEN 'test' ELSE 'live' END,
            r7 >= 0.05, CASE WHEN r7 < 0.05 THEN created END,
            ARRAY['chat:' || words[1 + floor(40 * r7 ^ 2)::int], 'model:' || floor(500 * r8 ^ 2)],
            ARRAY['team:' || floor(1000 * r9 ^ 3), 'region:' || regions[1 + floor(6 * r5)::int]],
            CASE WHEN r8 < 0.4 THEN NULL ELSE created + (r8 - 0.4) * interval '2000 days' END,
            created, created + r9 * (now() - created),
            CASE WHEN r9 < 0.04 THEN created + r4 * (now() - created) END,
            'lk_' || CASE WHEN r6 < 0.15 THEN 'test' ELSE 'live' END || '_' || kid,
            CASE WHEN r1 < 0.25 THEN 500000000 END, CASE WHEN r1 < 0.2 THEN 'total' WHEN r1 < 0.25 THEN 'monthly' END
       FROM (SELECT n, random() r1, random() r2, random() r3, random() r4, random() r5, random() r6, random() r7, random() r8, random() r9,
                    now() - (1 - n / $1::float8) * interval '1095 days' AS created,
                    substr(translate(encode(sha256(('kid' || n)::bytea), 'base64'), '+/=', 'xyz'), 1, 14) AS kid
               FROM generate_series(1, $1::int) n) AS one,
            (SELECT array_agg(id ORDER BY email) AS ids FROM users WHERE email LIKE 'owner-%@bench.local') AS owners,
            (SELECT ARRAY['billing','search','support','ingest','mobile','payments','reports','gateway','checkout','catalog','orders','pricing',
                          'shipping','webhooks','partner','analytics','export','import','mailer','notifier','scheduler','worker','crawler','indexer',
                          'translator','summary','vision','speech','embedding','ranking','feedback','fraud','identity','ledger','invoice','loyalty',
                          'survey','archive','zebra','quartz'] AS words,
                    ARRAY['service','worker','nightly','batch','api','console','sandbox','pipeline'] AS kinds,
                    ARRAY['eu-west','eu-north','us-east','us-west','ap-south','sa-east'] AS regions) AS lists`,
    [KEYS, OWNERS],
  );
  await client.query(
    `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version, created_at)
     SELECT right(secret_prefixes, 14), id, 'own', secret_prefixes, sha256(secret_prefixes::bytea), '1', created_at FROM api_key`,
  );
  // Three in ten were never used; of those with a budget one in five has spent more than four fifths of it.
  await client.query('TRUNCATE key_totals, budget_account');
  await client.query(
    `INSERT INTO key_totals (key_id, is_listed, last_used_at)
     SELECT id, true, CASE WHEN random() > 0.3 THEN created_at + random() * (now() - created_at) ELSE '-infinity' END FROM api_key ORDER BY id`,
  );
  await client.query(
    `INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents, spent_micro_cents)
     SELECT id, 'total', l.active, l.active, coalesce(floor(l.active * random()), 0)
       FROM api_key, LATERAL (SELECT CASE WHEN budget_type = 'total' THEN budget_limit_micro_cents END AS active) AS l ORDER BY id`,
  );
  await client.query(
    `INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents, spent_micro_cents)
     SELECT id, quota_month(now()), budget_limit_micro_cents, budget_limit_micro_cents, floor(budget_limit_micro_cents * random())
       FROM api_key WHERE budget_type = 'monthly' ORDER BY id`,
  );
  await client.query('ALTER TABLE api_key ENABLE TRIGGER USER');
  await client.query('ALTER TABLE api_key_secret ENABLE TRIGGER api_key_secret_note_prefix');
  for (const { definition } of indexes.rows) await client.query(definition);
  await client.query('VACUUM ANALYZE');
  console.log(`Seeded ${KEYS} keys in ${Math.round((performance.now() - started) / 1000)} s.`);
}

/** The built server as a process of its own, on the same embedded PostgreSQL. */
async function startServer() {
  const port = await freePort();
  const child = spawn(process.execPath, [join(root, 'dist/src/server/main.js')], {
    env: {
      ...process.env,
      NODE_ENV: 'development',
      DATA_DIR: dataDir,
      PORT: String(port),
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      ADMIN_PASSWORD_IS_TEMPORARY: 'false',
      MANAGEMENT_RATE_PER_MINUTE: '1000000',
      LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const baseUrl = `http://127.0.0.1:${port}`;
  for (let attempt = 0; ; attempt += 1) {
    const ready = await fetch(`${baseUrl}/health/ready`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ready) break;
    if (attempt > 300 || child.exitCode !== null) throw new Error('The server did not start.');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    baseUrl,
    pid: child.pid,
    rssMb: async () =>
      Math.round(
        Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => ''))?.[1] ?? 0) /
          1024,
      ),
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null) return resolve();
        child.once('exit', resolve);
        child.kill('SIGTERM');
      }),
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function measure(client) {
  await resetAdmin(client);
  const token = await signIn();
  const { rows: owners } = await client.query(
    `SELECT owner_id AS id, count(*)::int AS keys FROM api_key GROUP BY 1 ORDER BY 2 DESC, 1`,
  );
  const report = {
    at: new Date().toISOString(),
    keys: KEYS,
    requestsPerCase: REQUESTS,
    machine: {
      cpus: cpus().length,
      model: cpus()[0]?.model,
      memoryGb: Math.round(totalmem() / 2 ** 30),
      loadAverage: loadavg(),
      node: process.version,
    },
    postgres: (
      await client.query(
        `SELECT current_setting('server_version') AS version, current_setting('shared_buffers') AS "sharedBuffers", pg_size_pretty(pg_database_size(current_database())) AS size`,
      )
    ).rows[0],
    boundMs: BOUND_MS,
    cases: [],
  };
  for (const one of casesOf(owners).filter(({ name }) => ONLY?.test(name) ?? true)) {
    const times = [];
    const timesOfPath = new Map(one.paths.map((path) => [path, []]));
    let cpuBefore = new Map();
    for (let request = 0; request < WARM_UP_REQUESTS + REQUESTS; request += 1) {
      if (request === WARM_UP_REQUESTS) cpuBefore = await cpuMs();
      const path = one.paths[request % one.paths.length];
      const sent = performance.now();
      const answer = await fetch(`${server.baseUrl}/api/v1/api-keys${path}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      const body = await answer.json();
      if (answer.status !== 200) throw new Error(`${path}: ${JSON.stringify(body)}`);
      const tookMs = performance.now() - sent;
      if (request < WARM_UP_REQUESTS) continue;
      times.push(tookMs);
      timesOfPath.get(path).push(tookMs);
    }
    const cpuMeanMs =
      [...(await cpuMs())].reduce((sum, [pid, ms]) => sum + (cpuBefore.has(pid) ? ms - cpuBefore.get(pid) : 0), 0) /
      REQUESTS;
    times.sort((a, b) => a - b);
    const medians = [...timesOfPath].map(([path, own]) => ({
      path,
      p50Ms: at(
        own.sort((a, b) => a - b),
        0.5,
      ),
    }));
    const slowest = medians.reduce((worst, path) => ((path.p50Ms ?? 0) > (worst.p50Ms ?? 0) ? path : worst));
    report.cases.push({
      name: one.name,
      paths: one.paths.slice(0, 5),
      slowest,
      boundMs: one.isBounded === false ? null : BOUND_MS,
      p50Ms: at(times, 0.5),
      p95Ms: at(times, 0.95),
      maxMs: at(times, 1),
      cpuMeanMs: Math.round(cpuMeanMs * 10) / 10,
      loadAverage: loadavg()[0],
      plans: await plansOf(client, slowest.path),
    });
    console.log(
      `${one.name}: p50 ${at(times, 0.5)} ms, p95 ${at(times, 0.95)} ms; slowest ${slowest.path} ${slowest.p50Ms} ms`,
    );
  }
  if (ONLY === null) report.export = await measureExport(token);
  return report;
}

/**
 * Processor time so far of the server and of each process of PostgreSQL, in ms: what requests cost, however many others
 * share the machine. Linux only.
 */
async function cpuMs() {
  const times = new Map();
  for (const pid of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const [, parent, , , , , , , , , , user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    if (Number(pid) === server.pid || parent === database.pid) times.set(pid, (user + system) * 10);
  }
  return times;
}

/** What is asked; several paths of a case take turns, so that no answer is warm by repetition alone. */
function casesOf(owners) {
  const sorts = ['createdAt', 'updatedAt', 'name', 'expiresAt', 'lastUsedAt'].flatMap((field) => [field, `-${field}`]);
  const ninetyDaysAgo = new Date(Date.now() - 90 * 86_400_000).toISOString();
  const aYearAgo = new Date(Date.now() - 365 * 86_400_000).toISOString();
  const soon = new Date(Date.now() + 7 * 86_400_000).toISOString();
  const some = Array.from({ length: 50 }, (_, index) => owners[Math.floor((index / 50) * owners.length)].id);
  const paths = (values, path) => values.map((value) => path(encodeURIComponent(value)));
  return [
    { name: 'first page', paths: ['', '?size=100', '?page=2', '?page=3'] },
    { name: 'last page that may be asked for', paths: ['?page=100&size=100', '?page=1000&size=10'] },
    { name: 'owner', paths: paths(some, (id) => `?ownerId=${id}`) },
    {
      name: 'owner with most keys',
      paths: [
        `?ownerId=${owners[0].id}`,
        `?ownerId=${owners[0].id}&page=50&size=100`,
        `?ownerId=${owners[0].id}&sort=name`,
      ],
    },
    {
      name: 'tag, rare to frequent',
      paths: paths(
        ['team:999', 'team:800', 'team:500', 'team:100', 'team:10', 'team:1', 'team:0', 'region:eu-west'],
        (tag) => `?tag=${tag}`,
      ),
    },
    {
      name: 'tag, last page that may be asked for',
      paths: paths(['team:10', 'team:1', 'team:0', 'region:eu-west'], (tag) => `?tag=${tag}&page=1000&size=10`),
      isBounded: false,
    },
    { name: 'two tags', paths: paths(['team:900', 'team:100', 'team:0'], (tag) => `?tag=${tag}&tag=region:eu-west`) },
    {
      name: 'scope',
      paths: paths(['model:499', 'model:100', 'model:0', 'chat:billing', 'chat:quartz'], (scope) => `?scope=${scope}`),
    },
    ...['active', 'inactive', 'expired', 'revoked'].map((status) => ({
      name: `status ${status}`,
      paths: [`?status=${status}`, `?status=${status}&size=100&page=5`],
    })),
    { name: 'environment test', paths: ['?environment=test'] },
    {
      name: 'search, three letters of rare words',
      paths: paths(['qzx', 'xkj', '7Qz', 'zzz', 'wvq', 'jqx'], (term) => `?search=${term}`),
    },
    {
      name: 'search, three letters of usual words',
      paths: paths(['zeb', 'qua', 'sur', 'fra', 'loy', 'mob', 'vis', 'cra', 'bil'], (term) => `?search=${term}`),
    },
    {
      name: 'search, three letters of every key',
      paths: paths(['lk_', 'liv', 'ser', 'wor', 'tes'], (term) => `?search=${term}`),
    },
    { name: 'search by prefix', paths: paths(['lk_live_4fT', 'lk_test_Zq0', 'live_abc'], (term) => `?search=${term}`) },
    {
      name: 'search, sorted by name',
      paths: paths(['zeb', 'qua', 'sur', 'fra'], (term) => `?search=${term}&sort=name`),
    },
    { name: 'search in one owner', paths: paths(some.slice(0, 10), (id) => `?ownerId=${id}&search=bil`) },
    {
      name: 'tag and status',
      paths: ['?tag=team:0&status=revoked', '?tag=team:500&status=active', '?tag=team:100&status=expired'],
    },
    ...sorts.map((sort) => ({ name: `sort ${sort}`, paths: [`?sort=${sort}`, `?sort=${sort}&page=20&size=50`] })),
    { name: 'tag, sorted by name', paths: ['?tag=team:0&sort=name', '?tag=team:500&sort=name'] },
    { name: 'status, sorted by expiry', paths: ['?status=active&sort=expiresAt', '?status=expired&sort=-expiresAt'] },
    { name: 'never used', paths: ['?neverUsed=true', '?neverUsed=true&status=active'] },
    { name: 'unused for 90 days', paths: [`?unusedSince=${ninetyDaysAgo}&status=active`] },
    {
      name: 'unused for a year, sorted by last use',
      paths: [`?unusedSince=${aYearAgo}&sort=lastUsedAt`, `?unusedSince=${aYearAgo}&sort=-lastUsedAt`],
    },
    {
      name: 'budget used, rare to frequent',
      paths: ['?budgetUsedAbove=99.9', '?budgetUsedAbove=99', '?budgetUsedAbove=80', '?budgetUsedAbove=0'],
    },
    {
      name: 'budget used and status',
      paths: ['?budgetUsedAbove=80&status=active', '?budgetUsedAbove=95&status=active&sort=name'],
    },
    { name: 'expiring within a week', paths: [`?status=active&expiresBefore=${soon}&sort=expiresAt`] },
    { name: 'without expiry', paths: ['?hasExpiry=false&status=active'] },
    { name: 'facets of all', paths: ['/facets'], isBounded: false },
    { name: 'facets of a tag', paths: ['/facets?tag=team:500', '/facets?tag=team:0'], isBounded: false },
  ];
}

/** EXPLAIN (ANALYZE, BUFFERS) of the very statements behind a page, through the product's own repository. */
async function plansOf(client, path) {
  if (path.startsWith('/')) return [];
  const plans = [];
  const explaining = {
    async query(sql, parameters) {
      const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS) ${sql}`, parameters);
      plans.push(rows.map((row) => row['QUERY PLAN']));
      return (await client.query(sql, parameters)).rows;
    },
  };
  const asked = new URL(path, server.baseUrl).searchParams;
  const flags = ['isActive', 'neverUsed', 'hasExpiry'];
  const filter = Object.fromEntries(
    [...new Set(asked.keys())]
      .filter((name) => !['page', 'size', 'sort'].includes(name))
      .map((name) => [
        name,
        ['tag', 'scope'].includes(name)
          ? asked.getAll(name)
          : flags.includes(name)
            ? asked.get(name) === 'true'
            : name === 'budgetUsedAbove'
              ? Number(asked.get(name))
              : asked.get(name),
      ]),
  );
  const size = Number(asked.get('size') ?? 10);
  const offset = (Number(asked.get('page') ?? 1) - 1) * size;
  const condition = conditionOf(filter, { kind: 'all' }, new Date());
  await new ApiKeyListsRepository(explaining).slice(
    condition,
    orderOf(asked.get('sort') ?? '-createdAt'),
    size,
    offset,
  );
  return plans;
}

/** Reads a whole export: how fast, and how much memory the server has meanwhile. */
async function measureExport(token) {
  const rssBeforeMb = await server.rssMb();
  const started = performance.now();
  const answer = await fetch(`${server.baseUrl}/api/v1/api-keys/export`, {
    headers: { authorization: `Bearer ${token}` },
  });
  let bytes = 0;
  let lines = -1;
  let rssMaxMb = rssBeforeMb;
  let chunks = 0;
  for await (const chunk of answer.body) {
    bytes += chunk.length;
    for (const byte of chunk) if (byte === 10) lines += 1;
    if (chunks++ % 500 === 0) rssMaxMb = Math.max(rssMaxMb, await server.rssMb());
  }
  const seconds = (performance.now() - started) / 1000;
  return {
    lines,
    megabytes: Math.round(bytes / 1e6),
    seconds: Math.round(seconds * 10) / 10,
    keysPerSecond: Math.round(lines / seconds),
    rssBeforeMb,
    rssMaxMb,
  };
}

async function signIn() {
  const answer = await fetch(`${server.baseUrl}/api/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ADMIN),
  });
  if (!answer.ok) throw new Error(`Sign-in failed: ${await answer.text()}`);
  return (await answer.json()).accessToken;
}

/** A kept database has an admin of an earlier run, with another password. */
async function resetAdmin(client) {
  const { hashPassword } = await import('../dist/src/users/password.js');
  const { bindPassword } = await import('../dist/src/access/credential-binding.js');
  const { rows } = await client.query('SELECT id FROM users WHERE email = $1', [ADMIN.email]);
  const { hash, binding } = bindPassword(peppers, rows[0].id, await hashPassword(ADMIN.password));
  await client.query(
    'UPDATE users SET password_hash = $2, password_binding = $3, password_binding_version = $4 WHERE id = $1',
    [rows[0].id, hash, binding.mac, binding.version],
  );
}

function at(sorted, quantile) {
  const index = Math.min(sorted.length - 1, Math.ceil(quantile * sorted.length) - 1);
  return sorted.length === 0 ? null : Math.round(sorted[index] * 10) / 10;
}

function print(report) {
  const pad = (text, width) => String(text).padStart(width);
  const { machine, postgres } = report;
  console.log(
    `\n${machine.model}, ${machine.cpus} cores, ${machine.memoryGb} GB, Node ${machine.node}, PostgreSQL ${postgres.version} with ${postgres.sharedBuffers} of buffers and ${postgres.size} of data`,
  );
  console.log(
    `${report.keys} keys, ${report.requestsPerCase} requests a case, load ${machine.loadAverage.map((load) => load.toFixed(1)).join(' ')}`,
  );
  console.log(
    `${'case'.padEnd(40)}${pad('p50 ms', 9)}${pad('p95 ms', 9)}${pad('max ms', 9)}${pad('cpu ms', 9)}${pad('load', 7)}`,
  );
  for (const one of report.cases)
    console.log(
      `${one.name.padEnd(40)}${pad(one.p50Ms, 9)}${pad(one.p95Ms, 9)}${pad(one.maxMs, 9)}${pad(one.cpuMeanMs, 9)}${pad(one.loadAverage.toFixed(1), 7)}${one.boundMs !== null && one.p95Ms > one.boundMs ? '  over' : ''}`,
    );
  if (report.export === undefined) return;
  const { lines, megabytes, seconds, keysPerSecond, rssBeforeMb, rssMaxMb } = report.export;
  console.log(
    `export: ${lines} keys, ${megabytes} MB in ${seconds} s (${keysPerSecond} a second), memory ${rssBeforeMb} MB before, at most ${rssMaxMb} MB during`,
  );
}
