import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';
import { bookDifferences } from '../harness/books.js';

const SIZES = { ci: { kills: 10, crashes: 2 }, full: { kills: 200, crashes: 50 } } as const;
const KEYS = 5;
/**
 * Between two reports of a reporter while a server starts, which would wait for the processors most of the time. It is
 * what comes before and after that a kill meets.
 */
const PAUSE_AT_START_MS = 250;
/** Events acknowledged for each kill of a server: without load, a kill shows nothing. */
const LEAST_A_KILL = 20;

/** One event as its reporter knows it. */
interface Sent {
  readonly id: string;
  readonly apiKeyId: string;
  readonly costCents: number;
}

/**
 * Replicas and PostgreSQL are killed under reporters that send each event until it is acknowledged, many of them again
 * after that. In the end the database has every acknowledged event exactly once, nothing that nobody sent, and books
 * that balance.
 */
export const g03: Experiment = {
  id: 'G03',
  guarantee: 'no acknowledged usage is lost, none invented, over kills of servers and crashes of PostgreSQL',
  inCi: true,
  fault: { what: 'reports are acknowledged before they are committed', patch: 'acknowledges-before-commit.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const keys: string[] = [];
      for (let index = 0; index < KEYS; index += 1) keys.push((await cluster.createKey()).id);
      const sent = new Map<string, Sent>();
      const acknowledged = new Set<string>();
      let reporting = true;
      let isStarting = false;
      let retries = 0;
      let repeated = 0;

      const reporter = async (index: number) => {
        for (let round = 0; reporting; round += 1) {
          const events = Array.from({ length: 1 + random.integer(20) }, (_, at): Sent => ({
            id: `r${index}-${round}-${at}`,
            apiKeyId: random.pick(keys),
            costCents: random.integer(1000) / 1000,
          }));
          for (const event of events) sent.set(event.id, event);
          for (let attempt = 0; ; attempt += 1) {
            if (attempt > 0) retries += 1;
            const { client } = cluster.replica(index + attempt);
            const answer = await client
              .post('/usage', { token: cluster.adminToken, body: { events }, timeoutMs: 3_000 })
              .catch(() => null);
            if (answer?.status === 200) break;
            if (answer !== null && answer.status < 500)
              throw new Error(`a report answered ${answer.status}: ${JSON.stringify(answer.body)}`);
            // Events that were never acknowledged may be there or not: a caller that stops here knows nothing of them.
            if (!reporting && attempt > 20) return;
            await sleep(20);
          }
          for (const { id } of events) acknowledged.add(id);
          if (isStarting) await sleep(PAUSE_AT_START_MS);
          // An acknowledgement that got lost on the way: the same once more.
          if (random.next() < 0.3) {
            const again = await cluster
              .replica(index + 1)
              .client.post('/usage', { token: cluster.adminToken, body: { events }, timeoutMs: 3_000 })
              .catch(() => null);
            if (again?.status === 200) repeated += events.length;
          }
        }
      };
      const reporters = Array.from({ length: 9 }, (_, index) => reporter(index));
      await killServers(cluster, random, SIZES[size], (is) => (isStarting = is));
      reporting = false;
      await Promise.all(reporters);
      log(`${acknowledged.size} events acknowledged, ${retries} sent again`);

      const rows = await cluster.database.query<{ event_id: string; n: number; cost: string }>(
        'SELECT event_id, count(*)::int AS n, min(cost_micro_cents)::text AS cost FROM usage_event GROUP BY event_id',
      );
      const kept = new Map(rows.map((row) => [row.event_id, row]));
      const violations = [
        ...[...acknowledged].filter((id) => !kept.has(id)).map((id) => `lost: ${id}`),
        ...rows.filter(({ event_id }) => !sent.has(event_id)).map(({ event_id }) => `invented: ${event_id}`),
        ...rows.filter(({ n }) => n !== 1).map(({ event_id, n }) => `counted ${n} times: ${event_id}`),
        ...rows
          .filter(({ event_id, cost }) => Number(cost) !== Math.round((sent.get(event_id)?.costCents ?? 0) * 1e6))
          .map(({ event_id }) => `another cost: ${event_id}`),
        ...(await bookDifferences(cluster)),
      ];
      const floors = [
        floor('events acknowledged', acknowledged.size, SIZES[size].kills * LEAST_A_KILL),
        floor('requests sent again', retries, SIZES[size].kills / 4),
        floor('events that were sent again after they were acknowledged', repeated, LEAST_A_KILL),
      ] as const;
      return {
        violations,
        floors,
        figures: { ...SIZES[size], acknowledged: acknowledged.size, kept: kept.size, retries },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** One after the other, and at times PostgreSQL with it; `tell` is told whether a server starts. */
async function killServers(
  cluster: ProofCluster,
  random: Random,
  { kills, crashes }: { readonly kills: number; readonly crashes: number },
  tell: (isStarting: boolean) => void,
): Promise<void> {
  for (let kill = 1; kill <= kills; kill += 1) {
    await sleep(300 + random.integer(300));
    const replica = random.pick(cluster.replicas);
    await replica.end('SIGKILL');
    if (kill % (kills / crashes) === 0) {
      cluster.database.kill();
      await sleep(random.integer(300));
      await cluster.database.restart();
    }
    tell(true);
    await replica.start();
    tell(false);
  }
}
