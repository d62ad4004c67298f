import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment, Floor, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { VariedTraffic } from '../harness/varied-traffic.js';

const WINDOWS = 6;
/**
 * Full: the figures of the guarantee, an hour and more. Otherwise minutes, in which only a leak of some size is seen.
 */
const SIZES = {
  ci: { keys: 3_000, warmUpMs: 75_000, windowMs: 20_000, mostRiseBytes: 400_000, distinct: 50_000 },
  full: { keys: 150_000, warmUpMs: 20 * 60_000, windowMs: 600_000, mostRiseBytes: 1_000_000, distinct: 1_000_000 },
} as const;
const PACE = { batchesOfMadeUpKeys: 15, requests: 160, signIns: 2 } as const;
/** What a server may remember something of. */
const KINDS = [
  'verifies',
  'reports',
  'strangers',
  'reads',
  'refusedBodies',
  'unknownThings',
  'leakedKeys',
  'brokenConnections',
  'failedSignIns',
  'sessions',
] as const;
const SAMPLE_EVERY_MS = 2_000;
const SAMPLE_WITHIN_MS = 20_000;

/**
 * One server under traffic of every kind, from addresses that never come again, with keys that never come again beside
 * keys that do. Its live heap after a collection is sampled; what counts is the least of each window.
 *
 * What the server remembers, and how much of it at most: records of keys 160 MB, unknown ids 10 000
 * (verification/records/record-cache.ts), look-ups that wait 10 000 (record-loader.ts), values that records share 10
 * 000 of a kind (shared-values.ts), counts of verdicts 200 000 keys (usage/verdict-counter.ts), last uses 20 000
 * (last-used/last-used.ts), reports that wait 10 000 (usage-batcher.ts), budgets and windows 200 000
 * (quotas/ledger.ts), leases on their way back 10 000 (give-back-queue.ts), kinds of refusals 10 000
 * (audit/refusal-tally.ts), addresses of strangers 10 000 (stranger-counts.ts), kinds of reads 50 000
 * (reads/equal-reads.ts), reads that wait 10 000 (reads/read-recorder.ts), counters of failed sign-ins 50 000 and
 * accounts with them 10 000 (users/sign-in-counters.ts, sign-in-exchange.ts), password hashes that wait 64
 * (hashing-slots.ts), parties of the management plane 10 000 (access/request-rate.ts, management-gate.ts), counters of
 * self-revoke 65 536 (access/address-throttle.ts), lines of the log that wait 4 MiB (common/log.ts). The smaller size
 * fills those that last a minute, and none of those that are large.
 */
export const g28: Experiment = {
  id: 'G28',
  guarantee:
    'no leaks: minima of the live heap over six windows rise by less than 1 MB in ten minutes, over a million distinct keys and addresses',
  inCi: false,
  fault: { what: 'every text that was presented as a key is remembered', patch: 'remembers-every-key.mjs' },
  run: async ({ size, random, log, fault }): Promise<Outcome> => {
    const { keys, warmUpMs, windowMs, mostRiseBytes, distinct } = SIZES[size];
    const cluster = await ProofCluster.start(1, { TRUSTED_PROXIES: '127.0.0.1' }, fault, ['../harness/heap-watch.mjs']);
    try {
      const traffic = await VariedTraffic.prepare(cluster, keys, random);
      await traffic.warmUp();
      const running = traffic.run(PACE);
      await sleep(warmUpMs);
      const minima: number[] = [];
      for (let window = 0; window < WINDOWS; window += 1) {
        minima.push(await leastHeap(cluster.replica(0), windowMs));
        log(
          `window ${window}: ${(minima[window]! / 1e6).toFixed(2)} MB, ${traffic.distinct} distinct keys and addresses`,
        );
      }
      traffic.end();
      await running;
      const riseBytes = Math.round(slope(minima));
      const violations = [...new Set(traffic.violations)].slice(0, 10);
      if (riseBytes >= mostRiseBytes)
        violations.push(`the live heap rises by ${riseBytes} bytes in ${windowMs / 1000} s: ${minima.join(' ')}`);
      const floors: [Floor, ...Floor[]] = [
        floor('distinct keys and addresses', traffic.distinct, distinct),
        ...KINDS.map((kind) => floor(kind, traffic.counts[kind] ?? 0, 50)),
      ];
      return {
        violations,
        floors,
        figures: {
          riseBytes,
          windowSeconds: windowMs / 1000,
          liveMb: Math.round(minima[0]! / 1e5) / 10,
          distinct: traffic.distinct,
          ...traffic.counts,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** The least live heap of several looks in this time, in bytes. */
async function leastHeap(replica: Replica, lengthMs: number): Promise<number> {
  const until = performance.now() + lengthMs;
  let least = Number.POSITIVE_INFINITY;
  while (performance.now() < until) {
    least = Math.min(least, await liveHeap(replica));
    await sleep(SAMPLE_EVERY_MS);
  }
  return least;
}

async function liveHeap(replica: Replica): Promise<number> {
  const seen = replica.heaps.length;
  replica.signal('SIGUSR2');
  const until = performance.now() + SAMPLE_WITHIN_MS;
  while (replica.heaps.length === seen && performance.now() < until) await sleep(20);
  if (replica.heaps.length === seen)
    throw new Error(`${replica.name} did not tell its heap:\n${replica.output.join('')}`);
  return replica.heaps.at(-1)!;
}

/** By least squares: how much more each value is than the one before. */
function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const [over, under] = values.reduce(
    ([top, bottom], value, index) => [top + (index - middle) * (value - mean), bottom + (index - middle) ** 2],
    [0, 0],
  );
  return over / under;
}
