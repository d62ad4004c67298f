import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, ExperimentContext, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { Gaps } from '../harness/gaps.js';
import { PatroniCluster, whyNoPatroni } from '../harness/patroni-cluster.js';
import { Spenders } from '../harness/spenders.js';

const MICRO_CENTS = 1_000_000;
const REPLICAS = 2;
const HABITS = { clients: 6, thinkMs: 200, repeats: 0.1, withFaults: true };
/** More than the load can use up. */
const BUDGET_CENTS = 1_000_000;
/** Of load before each outage, and after the cluster works again. */
const LOAD_MS = { ci: 5_000, full: 15_000 } as const;
/** How long an outage lasts that does not end by itself. */
const OUTAGE_MS = 40_000;
const ROUNDS = { ci: 1, full: 2 } as const;
const LEAST_CALLS = 20;

type Cluster = ProofCluster<PatroniCluster>;

/** One thing that happens to the cluster: it begins, the load goes on through it, and what was broken is mended. */
interface Outage {
  readonly what: string;
  readonly begin: (database: PatroniCluster) => Promise<() => Promise<void>>;
  /** Whether commits that wait for no standby must be noticed in it. */
  readonly shows?: true;
}

const OUTAGES: readonly Outage[] = [
  {
    what: 'switchover',
    begin: async (database) => {
      await database.switchOver();
      return async () => undefined;
    },
  },
  {
    what: 'killedPrimary',
    begin: async (database) => {
      const node = await database.leader();
      await database.kill(node);
      return () => database.startNode(node);
    },
  },
  {
    what: 'killedPostgres',
    begin: async (database) => {
      await database.killPostgres(await database.leader());
      return async () => undefined;
    },
  },
  {
    what: 'primaryCutOff',
    begin: async (database) => {
      const node = await database.leader();
      await database.cutOff(node);
      return () => database.heal(node);
    },
  },
  {
    // The dangerous one: clients reach the old primary as before, and it must acknowledge nothing that will be lost.
    what: 'primaryCutOffFromStandbys',
    shows: true,
    begin: async (database) => {
      const node = await database.leader();
      await database.cutOffFromOthers(node);
      return () => database.heal(node);
    },
  },
  {
    what: 'killedSynchronousStandby',
    begin: async (database) => {
      const node = await database.syncStandby();
      await database.kill(node);
      return () => database.startNode(node);
    },
  },
  {
    what: 'etcdLost',
    begin: async (database) => {
      const nodes = [1, 2, 3];
      for (const node of nodes) await database.killEtcd(node);
      return async () => {
        for (const node of nodes) await database.startEtcd(node);
      };
    },
  },
];

/**
 * Three nodes of Patroni and etcd as deploy/patroni sets them up, with synchronous replication and HAProxy in front,
 * under load from two replicas: reservations, reports and creations. The primary is switched, killed, cut off from
 * everything, and cut off from its standbys alone.
 */
export const f16: Experiment = {
  id: 'F16',
  guarantee:
    'a cluster of Patroni with synchronous replication is switched over, killed and partitioned under load: 0 acknowledged events lost, 0 over a budget',
  inCi: false,
  fault: {
    what: 'commits do not wait for the standby',
    sql: `ALTER ROLE latchkey_app SET synchronous_commit = 'local';
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'latchkey_app'`,
  },
  run: async (context) => {
    const skipped = await whyNoPatroni();
    if (skipped !== null) return { skipped };
    const database = await PatroniCluster.start();
    const cluster: Cluster = await ProofCluster.startOn(database, REPLICAS, {}, context.fault);
    try {
      return await underLoad(cluster, context);
    } finally {
      await cluster.stop();
    }
  },
};

async function underLoad(cluster: Cluster, context: ExperimentContext) {
  const caller = await cluster.createKey({ roles: ['gateway'] });
  const key = await cluster.createKey({ budgetLimitCents: BUDGET_CENTS, budgetType: 'total' });
  const probe = await cluster.createKey({ budgetLimitCents: BUDGET_CENTS, budgetType: 'total' });
  const plain = await cluster.createKey();
  const limit = BUDGET_CENTS * MICRO_CENTS;
  const spenders = new Spenders(cluster, key, caller.secret, limit, context.random, HABITS);
  const gaps = new Gaps(cluster, asksOf(cluster, caller.secret, { probe, plain }));
  const load = Promise.all([spenders.spend(Number.POSITIVE_INFINITY, 3_600_000), gaps.run()]);
  const { floors, figures } = await throughOutages(cluster, spenders, gaps, context);
  spenders.end();
  gaps.end();
  await load;
  const violations = [
    ...spenders.violations,
    ...(await bookDifferences(cluster)),
    ...(await lost(cluster, key.id, spenders, limit)),
  ];
  if (violations.length > 0) context.log(errorsOf(cluster));
  return {
    violations,
    floors: [
      floor('outages', OUTAGES.length * ROUNDS[context.size], OUTAGES.length),
      ...floors,
      ...Object.keys(ASKED).map((name) => floor(`successes of ${name}`, gaps.count(name), LEAST_CALLS)),
    ] as [Floor, ...Floor[]],
    figures: { admitted: spenders.admitted, acknowledgedMicroCents: spenders.acknowledged, ...figures },
  };
}

async function throughOutages(
  { database }: Cluster,
  spenders: Spenders,
  gaps: Gaps,
  { size, log, fault }: ExperimentContext,
): Promise<{ floors: Floor[]; figures: Record<string, number> }> {
  const floors: Floor[] = [];
  const figures: Record<string, number> = {};
  for (let round = 0; round < ROUNDS[size]; round += 1) {
    for (const { what, begin } of fault === undefined ? OUTAGES : OUTAGES.filter(({ shows }) => shows)) {
      await database.untilWhole();
      await sleep(LOAD_MS[size]);
      const [leader, before, began] = [await database.leader(), spenders.admitted, performance.now()];
      const mend = await begin(database);
      await sleep(OUTAGE_MS);
      const ended = performance.now();
      await mend();
      await database.untilWhole();
      await sleep(LOAD_MS[size]);
      const found = Object.entries(ASKED).map(([name, figure]) => [figure, gaps.longest(name, began, ended)] as const);
      for (const [figure, ms] of found) {
        const name = `${what}${figure}S`;
        figures[name] = Math.max(figures[name] ?? 0, Math.round(ms / 100) / 10);
      }
      floors.push(floor(`${what} ${round}: calls admitted through it`, spenders.admitted - before, LEAST_CALLS));
      const said = found.map(([figure, ms]) => `${figure} ${ms} ms`).join(', ');
      log(`${what}: db${leader} was the primary, db${await database.leader()} is; without success for ${said}`);
    }
  }
  return { floors, figures };
}

/** What replicas called an error, the last of it. */
function errorsOf({ replicas }: Cluster): string {
  const lines = replicas.flatMap(({ output }) => output.join('').split('\n'));
  return lines
    .filter((line) => /"level":("error"|50)/.test(line))
    .slice(-12)
    .join('\n');
}

/** What is asked all the time, with the name of its figure. */
const ASKED: Readonly<Record<string, string>> = {
  'a verify with a budget': 'LimitedVerify',
  'a verify from memory': 'PlainVerify',
  'a report': 'Report',
  'a creation': 'Change',
};

function asksOf(
  { adminToken }: Cluster,
  apiKey: string,
  { probe, plain }: Readonly<Record<'probe' | 'plain', { readonly id: string; readonly secret: string }>>,
): ConstructorParameters<typeof Gaps>[1] {
  return {
    'a verify with a budget': async (post) => {
      const body = { key: probe.secret, reserveCents: 0.01 };
      const answer = await post('/verify', { apiKey, body });
      return answer.body.valid === true && answer.body.degraded !== true;
    },
    'a verify from memory': async (post) =>
      (await post('/verify', { apiKey, body: { key: plain.secret } })).body.valid === true,
    'a report': async (post, turn) => {
      const body = { events: [{ id: `gap-${turn}`, apiKeyId: plain.id, costCents: 0.01 }] };
      return (await post('/usage', { apiKey, body })).status === 200;
    },
    'a creation': async (post) => (await post('/api-keys', { token: adminToken, body: {} })).status === 201,
  };
}

async function lost({ database }: Cluster, keyId: string, spenders: Spenders, limit: number): Promise<string[]> {
  const [row] = await database.query<{ spent: string; reported: string }>(
    `SELECT (SELECT spent_micro_cents FROM budget_account WHERE key_id = $1 AND period = 'total')::text AS spent,
            (SELECT coalesce(sum(cost_micro_cents), 0) FROM usage_event WHERE key_id = $1)::text AS reported`,
    [keyId],
  );
  const violations: string[] = [];
  for (const [what, found] of [
    ['charged', row!.spent],
    ['in the events', row!.reported],
  ] as const) {
    if (spenders.acknowledged !== Number(found))
      violations.push(`${spenders.acknowledged} µ¢ were acknowledged, ${found} are ${what}`);
  }
  if (Number(row!.spent) > limit) violations.push(`overspent: ${row!.spent} of ${limit} µ¢`);
  return violations;
}
