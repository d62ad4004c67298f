import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { quantile } from '../harness/quantile.js';
import type { Random } from '../harness/random.js';

const DISTINCT = { ci: 200_000, full: 1_000_000 } as const;
const WARM_UP = 100_000;
const PER_BATCH = 100;
const FLOODERS = 8;
const QUIET_MS = 5_000;
const MAX_GROWTH_MIB = 20;
/**
 * Transactions that polls and heartbeats may vary by: sessions tell their counters to the statistics by the second, or when
 * they have been idle for a while. One look-up for each batch of made-up keys would be thousands.
 */
const BASELINE_NOISE = 25;
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Keys of the right shape with a tag that nobody made, each another one, while a valid key is asked for as before. */
export const g22: Experiment = {
  id: 'G22',
  guarantee: 'floods of made-up keys cost nothing: 0 statements, RSS + ≤ 20 MB over 1 M distinct keys (CI 200 000)',
  inCi: true,
  fault: { what: 'the tag of a secret is not looked at', patch: 'trusts-tags.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(1, {}, fault);
    try {
      const replica = cluster.replica(0);
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const key = await cluster.createKey();
      const flood = new Flood(replica, caller.secret, key.secret, random);
      // Code, buffers and the pools of sockets get their size before anything is measured.
      await flood.send(WARM_UP);
      const quiet = await measured(cluster, () => flood.valid(QUIET_MS));
      const before = await residentMib(replica);
      const flooded = await measured(cluster, async () => {
        let flooding = true;
        const valid = flood.valid(() => !flooding);
        await flood.send(DISTINCT[size]);
        flooding = false;
        return valid;
      });
      const growth = (await residentMib(replica)) - before;
      const extra = (flooded.perSecond - quiet.perSecond) * flooded.counted;
      log(`${Math.round(DISTINCT[size] / flooded.seconds)} made-up keys a second, ${extra.toFixed(0)} transactions more than quiet, RSS ${growth.toFixed(1)} MiB more`);
      const violations = [...flood.violations];
      if (extra > BASELINE_NOISE) violations.push(`${extra.toFixed(0)} transactions more than quiet: ${flooded.perSecond.toFixed(1)} a second, ${quiet.perSecond.toFixed(1)} when quiet`);
      if (growth > MAX_GROWTH_MIB) violations.push(`RSS grew by ${growth.toFixed(1)} MiB`);
      return {
        violations,
        figures: {
          distinct: DISTINCT[size],
          keysPerSecond: Math.round(DISTINCT[size] / flooded.seconds),
          quietTransactionsPerSecond: tenths(quiet.perSecond),
          floodTransactionsPerSecond: tenths(flooded.perSecond),
          rssGrowthMiB: tenths(growth),
          quietP99Ms: quantile(quiet.result, 0.99),
          floodP99Ms: quantile(flooded.result, 0.99),
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** Both sides: who makes keys up, and who has one. */
class Flood {
  readonly violations: string[] = [];
  private made = 0;

  constructor(
    private readonly replica: Replica,
    private readonly callerSecret: string,
    private readonly secret: string,
    private readonly random: Random,
  ) {}

  /** So many keys, in batches, from several clients. */
  async send(count: number): Promise<void> {
    const until = this.made + count;
    await Promise.all(
      Array.from({ length: FLOODERS }, async () => {
        while (this.made < until) {
          this.made += PER_BATCH;
          const items = Array.from({ length: PER_BATCH }, () => ({ key: this.forged() }));
          const { status, body } = await this.replica.client.post('/verify/batch', { apiKey: this.callerSecret, body: { items }, timeoutMs: 30_000 });
          const wrong = status === 200 ? (body.results as { code: string }[]).find(({ code }) => code !== 'NOT_FOUND') : { code: `status ${status}` };
          if (wrong !== undefined) this.violations.push(`a made-up key: ${wrong.code}`);
        }
      }),
    );
  }

  /** Milliseconds that each verify of the valid key took, one after the other. */
  async valid(until: number | (() => boolean)): Promise<number[]> {
    const took: number[] = [];
    const began = performance.now();
    const isOver = typeof until === 'number' ? () => performance.now() - began > until : until;
    while (!isOver()) {
      const start = performance.now();
      const { body } = await this.replica.client.post('/verify', { apiKey: this.callerSecret, body: { key: this.secret } });
      took.push(performance.now() - start);
      if (body.valid !== true) this.violations.push(`the valid key: ${String(body.code)}`);
      await sleep(5);
    }
    return took;
  }

  /** The valid key's shape with everything behind its prefix made up; one tag in 56 thousand millions would match. */
  private forged(): string {
    const prefix = this.secret.slice(0, this.secret.lastIndexOf('_') + 1);
    let made = prefix;
    while (made.length < this.secret.length) made += ALPHABET[this.random.integer(ALPHABET.length)];
    return made;
  }
}

async function measured<T>(cluster: ProofCluster, act: () => Promise<T>): Promise<{ result: T; seconds: number; counted: number; perSecond: number }> {
  const from = await transactions(cluster);
  const began = performance.now();
  const result = await act();
  const elapsed = (performance.now() - began) / 1000;
  // A backend tells its counters at most once a second: those of the last second are waited for.
  await sleep(1_500);
  const counted = (performance.now() - began) / 1000;
  return { result, seconds: elapsed, counted, perSecond: ((await transactions(cluster)) - from) / counted };
}

async function transactions({ database }: ProofCluster): Promise<number> {
  const [row] = await database.query<{ n: string }>('SELECT sum(xact_commit + xact_rollback)::text AS n FROM pg_stat_database WHERE datname = current_database()');
  return Number(row!.n);
}

async function residentMib({ pid }: Replica): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
