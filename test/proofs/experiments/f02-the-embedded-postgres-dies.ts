import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProcess } from '../../../packages/embedded-postgres/src/processes.js';
import { findCluster } from '../../../src/database/embedded-postgres.js';
import { ADMIN, modulesOf, Replica } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';
import { freePorts } from '../../support/free-port.js';

const KILLS = { ci: 3, full: 20 } as const;
const MAX_RECOVERY_MS = 10_000;
const METRICS_TOKEN = 'metrics-of-the-experiment-0123456789abcdef';
const CLIENTS = 6;
const BATCH = 100;
/** Load is made for half a second to one and a half before each kill: a slow machine may make little of it. */
const LEAST_ACKNOWLEDGED = 60;

/**
 * The embedded PostgreSQL is killed (`kill -9` of its first process) under load, while two servers use it: one of them
 * starts it again, and both work soon after. What was acknowledged is in the books afterwards.
 */
export const f02: Experiment = {
  id: 'F02',
  guarantee:
    'an embedded PostgreSQL that is killed is started again, once: usage and limited keys work within 10 s, nothing acknowledged is lost',
  inCi: true,
  fault: { what: 'a PostgreSQL that has died is left as it is', patch: 'leaves-postgres-dead.mjs' },
  run: async ({ size, random, log, fault }) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-f02-'));
    // The account that PostgreSQL runs as must get there.
    await chmod(dataDir, 0o755);
    const environment = {
      NODE_ENV: 'test',
      DATA_DIR: join(dataDir, 'data'),
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      ADMIN_PASSWORD_IS_TEMPORARY: 'false',
      LOG_LEVEL: 'warn',
      METRICS_TOKEN,
      MAX_ACTIVE_KEYS: '1000000',
      MANAGEMENT_RATE_PER_MINUTE: '1000000',
    };
    const ports = await freePorts(2);
    const servers = ports.map((port, index) => new Replica(`server ${index}`, port, environment, modulesOf(fault, [])));
    const violations: string[] = [];
    let slowestMs = 0;
    try {
      for (const server of servers) await server.start();
      const keys = await makeKeys(servers[0]!);
      const load = new Load(servers, keys);
      for (let kill = 1; kill <= KILLS[size] && violations.length === 0; kill += 1) {
        await sleep(500 + random.integer(1_000));
        await killPostmaster(environment.DATA_DIR);
        const tookMs = await Promise.all(servers.map((server) => recovery(server, keys)));
        slowestMs = Math.max(slowestMs, ...tookMs);
        if (slowestMs > MAX_RECOVERY_MS)
          violations.push(
            `kill ${kill}: usage and limited keys worked after ${tookMs.map(Math.round).join(' and ')} ms`,
          );
        const restarts = (await Promise.all(servers.map(restartsOf))).reduce((sum, one) => sum + one, 0);
        if (restarts !== kill) violations.push(`after ${kill} kills PostgreSQL was started again ${restarts} times`);
        log(`kill ${kill}: back after ${tookMs.map(Math.round).join(' and ')} ms`);
      }
      await load.stop();
      const { acknowledged, refused, verified } = load;
      if (violations.length === 0) violations.push(...(await lost(servers[1]!, keys, acknowledged, random)));
      for (const server of servers) {
        const code = await server.end('SIGTERM');
        if (code !== 0 && violations.length === 0)
          violations.push(`${server.name} ended with ${code}: ${server.output.slice(-3).join('')}`);
      }
      if (violations.length > 0) for (const { name, output } of servers) log(`${name}: ${output.slice(-8).join('')}`);
      return {
        violations,
        floors: [
          floor('reports acknowledged', acknowledged.length, LEAST_ACKNOWLEDGED),
          floor('keys verified', verified, 100),
          floor('requests refused while PostgreSQL was away', refused, 1),
        ],
        figures: {
          kills: KILLS[size],
          acknowledged: acknowledged.length,
          refused,
          verified,
          slowestRecoveryMs: Math.round(slowestMs),
        },
      };
    } finally {
      await Promise.all(servers.map((server) => server.end('SIGKILL')));
      for (const { client } of servers) client.close();
      await endPostmaster(environment.DATA_DIR);
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};

interface Keys {
  readonly token: string;
  readonly gateway: string;
  readonly id: string;
  readonly secret: string;
}

async function makeKeys({ client }: Replica): Promise<Keys> {
  const token = (await client.post('/auth/login', { body: ADMIN })).body.accessToken as string;
  const gateway = (await client.post('/api-keys', { token, body: { roles: ['gateway'] } })).body.secretKey as string;
  const { body } = await client.post('/api-keys', {
    token,
    body: { rateLimitPerMinute: 10_000, budgetLimitCents: 1_000_000, budgetType: 'total' },
  });
  return { token, gateway, id: body.apiKey.id as string, secret: body.secretKey as string };
}

/** Reports and verifies on both servers, without a pause. */
class Load {
  readonly acknowledged: string[] = [];
  refused = 0;
  verified = 0;
  private isStopping = false;
  private readonly clients: Promise<void>[];

  constructor(servers: readonly Replica[], keys: Keys) {
    this.clients = Array.from({ length: CLIENTS }, (_, index) =>
      this.work(servers[index % servers.length]!, keys, index),
    );
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.clients);
  }

  private async work({ client }: Replica, keys: Keys, index: number): Promise<void> {
    for (let turn = 0; !this.isStopping; turn += 1) {
      const id = `load ${index} ${turn}`;
      const report = await client
        .post('/usage', { apiKey: keys.gateway, body: { events: [event(keys, id)] }, timeoutMs: 5_000 })
        .catch(() => null);
      if (report?.status === 200 && report.body.results[0].outcome === 'accepted') this.acknowledged.push(id);
      else this.refused += 1;
      const verdict = await client
        .post('/verify', { apiKey: keys.gateway, body: { key: keys.secret, reserveCents: 1 }, timeoutMs: 5_000 })
        .catch(() => null);
      if (verdict?.body.valid === true) this.verified += 1;
      await sleep(10);
    }
  }
}

function event(keys: Keys, id: string): Record<string, unknown> {
  return { id, apiKeyId: keys.id, costCents: 0.01 };
}

/** Milliseconds until a report is booked and a key with limits that this server has not seen yet can be verified. */
async function recovery({ client }: Replica, keys: Keys): Promise<number> {
  const began = performance.now();
  const isBack = async (): Promise<boolean> => {
    const options = { timeoutMs: 3_000 };
    const report = await client.post('/usage', {
      ...options,
      apiKey: keys.gateway,
      body: { events: [event(keys, `back ${performance.now()}`)] },
    });
    const made = await client.post('/api-keys', { ...options, token: keys.token, body: { rateLimitPerMinute: 10 } });
    const fresh = await client.post('/verify', {
      ...options,
      apiKey: keys.gateway,
      body: { key: made.body.secretKey },
    });
    await client.post(`/api-keys/${made.body.apiKey.id}/revoke`, { ...options, token: keys.token, body: {} });
    return report.status === 200 && fresh.body.valid === true;
  };
  // The first answers may still be of before the kill.
  await sleep(250);
  while (performance.now() - began < 2 * MAX_RECOVERY_MS) {
    if (await isBack().catch(() => false)) return performance.now() - began;
    await sleep(50);
  }
  return Number.POSITIVE_INFINITY;
}

async function restartsOf({ client }: Replica): Promise<number> {
  const { body } = await client.request('GET', '/metrics', { token: METRICS_TOKEN });
  return Number(/^latchkey_embedded_postgres_restarts_total (\d+)$/m.exec(String(body))?.[1]);
}

/** Sends what was acknowledged once more: whatever is not a duplicate then was not in the books. */
async function lost(
  { client }: Replica,
  keys: Keys,
  acknowledged: readonly string[],
  random: Random,
): Promise<string[]> {
  const missing: string[] = [];
  const first = random.integer(BATCH);
  for (let at = first - BATCH; at < acknowledged.length; at += BATCH) {
    const ids = acknowledged.slice(Math.max(0, at), at + BATCH);
    if (ids.length === 0) continue;
    const { body } = await client.post('/usage', {
      apiKey: keys.gateway,
      body: { events: ids.map((id) => event(keys, id)) },
    });
    for (const { id, outcome } of body.results as { id: string; outcome: string }[])
      if (outcome !== 'duplicate') missing.push(`${id} was acknowledged and is ${outcome} now`);
  }
  return missing;
}

async function killPostmaster(dataDir: string): Promise<void> {
  const pid = await postmasterOf(dataDir);
  if (pid === null) throw new Error('PostgreSQL does not run.');
  process.kill(pid, 'SIGKILL');
}

/** What a broken product leaves behind. */
async function endPostmaster(dataDir: string): Promise<void> {
  const pid = await postmasterOf(dataDir).catch(() => null);
  if (pid !== null) process.kill(pid, 'SIGQUIT');
  for (let look = 0; pid !== null && look < 100 && (await findProcess(pid)) !== null; look += 1) await sleep(50);
}

async function postmasterOf(dataDir: string): Promise<number | null> {
  const cluster = await findCluster(dataDir);
  if (cluster === null) return null;
  const pid = Number.parseInt(await readFile(join(cluster, 'postmaster.pid'), 'utf8'), 10);
  return (await findProcess(pid)) === null ? null : pid;
}
