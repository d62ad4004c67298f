import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';

const RESTARTS = { ci: 10, full: 100 } as const;
const MAX_RECOVERY_MS = 2000;
/** On a busy machine a recovery takes so many times as long as a change does while all is well. */
const BUSY = 10;
const CALM_CHANGES = 5;

/**
 * PostgreSQL is killed and started again under load: every server process lives on, changes work soon after, and
 * none that was acknowledged is lost.
 */
export const g20: Experiment = {
  id: 'G20',
  guarantee: 'restarts of PostgreSQL never end a server process; first success ≤ 2 s after it is back',
  inCi: true,
  fault: { what: 'an error of the feed is not heard', patch: 'dies-with-the-database.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault);
    const violations: string[] = [];
    let slowestMs = 0;
    let refused = 0;
    let recoveries = 0;
    const acknowledged: string[] = [];
    const create = async ({ client }: Replica): Promise<ProofAnswer | null> => {
      const answer = await client.post('/api-keys', { token: cluster.adminToken, timeoutMs: 3000 }).catch(() => null);
      if (answer?.status === 201) acknowledged.push(answer.body.apiKey.id as string);
      return answer;
    };
    try {
      const createOnEach = () => Promise.all(cluster.replicas.map((replica) => create(replica)));
      // The first one on a replica is slow.
      await createOnEach();
      const calmMs = await slowestOf(CALM_CHANGES, createOnEach);
      const boundMs = Math.max(MAX_RECOVERY_MS, BUSY * calmMs);
      for (let restart = 0; restart < RESTARTS[size]; restart += 1) {
        cluster.database.kill();
        await sleep(random.integer(500));
        const answers = await createOnEach();
        refused += answers.filter((answer) => answer === null || answer.status === 503).length;
        await cluster.database.restart();
        const back = performance.now();
        for (const replica of cluster.replicas) {
          if (!replica.isRunning)
            violations.push(`restart ${restart}: ${replica.name} ended: ${replica.output.slice(-3).join('')}`);
          else {
            const tookMs = await firstSuccess(() => create(replica), back);
            if (Number.isFinite(tookMs)) recoveries += 1;
            slowestMs = Math.max(slowestMs, tookMs);
          }
        }
        if (slowestMs > boundMs) {
          violations.push(
            `restart ${restart}: first success after ${Math.round(slowestMs)} ms; a change took ${Math.round(calmMs)} ms before`,
          );
        }
        if (violations.length > 0) break;
      }
      const kept = await cluster.database.query('SELECT 1 FROM api_key WHERE id = ANY($1)', [acknowledged]);
      if (kept.length !== acknowledged.length)
        violations.push(`${acknowledged.length} keys were acknowledged, ${kept.length} are there`);
      log(`slowest recovery ${Math.round(slowestMs)} ms`);
      const floors = [
        floor('requests refused while PostgreSQL was away', refused, RESTARTS[size]),
        floor('first successes after a restart', recoveries, RESTARTS[size] * cluster.replicas.length),
      ] as const;
      return {
        violations,
        floors,
        figures: {
          restarts: RESTARTS[size],
          keys: acknowledged.length,
          slowestRecoveryMs: Math.round(slowestMs),
          calmMs: Math.round(calmMs),
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** How long the slowest of so many took, one after the other. */
async function slowestOf(times: number, act: () => Promise<unknown>): Promise<number> {
  let slowestMs = 0;
  for (let time = 0; time < times; time += 1) {
    const start = performance.now();
    await act();
    slowestMs = Math.max(slowestMs, performance.now() - start);
  }
  return slowestMs;
}

async function firstSuccess(act: () => Promise<{ status: number } | null>, since: number): Promise<number> {
  const deadline = performance.now() + 15_000;
  while (performance.now() < deadline) {
    const answer = await act();
    if (answer !== null && answer.status < 300) return performance.now() - since;
    await sleep(20);
  }
  return Number.POSITIVE_INFINITY;
}
