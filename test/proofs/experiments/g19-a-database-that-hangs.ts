import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { quantile } from '../harness/quantile.js';

const ROUNDS = { ci: 1, full: 10 } as const;
/** Short, so that both sides of it are seen. */
const STALE_MAX_MS = 8_000;
/** What decides at the edges: ticks, and a machine with more to do. */
const MARGIN_MS = 700;
const HANG_MS = STALE_MAX_MS + 5_000;
const CACHED_P99_MS = 50;
const REFUSED_WITHIN_MS = 1_500;
const BACK_WITHIN_MS = 2_000;
const CLIENTS = 4;
const COLD_KEYS = 30;
const PAUSE_MS = 4;
/** One after the other, each of which may wait for as long as a refusal takes. */
const LEAST_COLD = 4;

/** What was asked of one replica while PostgreSQL hung. */
interface Seen {
  readonly kind: 'cached' | 'cold' | 'limited';
  /** Since the hang began. */
  readonly atMs: number;
  readonly tookMs: number;
  readonly status: number;
  readonly valid: boolean;
}

interface Hang {
  readonly seen: Seen[];
  /** Until keys were verified as before. */
  readonly backMs: number;
  /** Of a cached verify before the hang. */
  readonly quietP99Ms: number;
}

/**
 * PostgreSQL says nothing more, and nothing breaks: once because the network swallows everything, once because all its
 * processes stand still. Replicas are asked for keys they know, for keys they have never seen, and for a key with a
 * limit that only the database can count.
 */
export const g19: Experiment = {
  id: 'G19',
  guarantee:
    'PostgreSQL hangs: cached verify p99 ≤ 50 ms up to STALE_MAX, then 503 within 1.5 s; nothing unverifiable is allowed; back within 2 s',
  inCi: true,
  fault: { what: 'a replica trusts its memory for as long as it likes', patch: 'never-lost.mjs' },
  run: async ({ size, log, fault }) => {
    const cluster = await ProofCluster.start(2, { MAX_STALENESS_SECONDS: String(STALE_MAX_MS / 1000) }, fault);
    const violations: string[] = [];
    const floors: [Floor, ...Floor[]] = [floor('hangs', 0, 2 * ROUNDS[size])];
    const figures: Record<string, number> = { rounds: ROUNDS[size], staleMaxMs: STALE_MAX_MS };
    try {
      for (let round = 0; round < ROUNDS[size] && violations.length === 0; round += 1) {
        for (const way of ['silence', 'stop'] as const) {
          const { seen, backMs, quietP99Ms } = await hang(cluster, way);
          violations.push(...judged({ seen, backMs, quietP99Ms }).map((problem) => `${way} ${round}: ${problem}`));
          floors[0] = { ...floors[0], got: floors[0].got + 1 };
          floors.push(...floorsOf(way, seen));
          const cached = seen
            .filter(({ kind, atMs }) => kind === 'cached' && atMs < STALE_MAX_MS - MARGIN_MS)
            .map(({ tookMs }) => tookMs);
          figures[`${way}CachedP99Ms`] = quantile(cached, 0.99);
          figures[`${way}QuietP99Ms`] = quietP99Ms;
          figures[`${way}CachedCalls`] = cached.length;
          figures[`${way}SlowestRefusalMs`] = Math.round(
            Math.max(...seen.filter(({ status }) => status === 503).map(({ tookMs }) => tookMs)),
          );
          figures[`${way}BackMs`] = Math.round(backMs);
          log(
            `${way}: ${cached.length} cached verifies, p99 ${figures[`${way}CachedP99Ms`]} ms; slowest 503 after ${figures[`${way}SlowestRefusalMs`]} ms; back after ${Math.round(backMs)} ms`,
          );
        }
      }
      return { violations, floors, figures };
    } finally {
      cluster.database.proceed();
      await cluster.stop();
    }
  },
};

async function hang(cluster: ProofCluster, way: 'silence' | 'stop'): Promise<Hang> {
  const caller = await cluster.createKey({ roles: ['gateway'] });
  const known = await cluster.createKey();
  const limited = await cluster.createKey({ rateLimitPerMinute: 10_000, budgetLimitCents: 1_000_000 });
  const cold: string[] = [];
  for (let index = 0; index < COLD_KEYS; index += 1) cold.push((await cluster.createKey()).secret);
  const verify = (replica: number, key: string) =>
    cluster.replica(replica).client.post('/verify', { apiKey: caller.secret, body: { key }, timeoutMs: 15_000 });
  for (const replica of [0, 1])
    for (const { secret } of [known, limited]) for (let warm = 0; warm < 20; warm += 1) await verify(replica, secret);

  const quiet: number[] = [];
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      for (let call = 0; call < 200; call += 1) {
        const start = performance.now();
        await verify(index, known.secret);
        quiet.push(performance.now() - start);
        await sleep(PAUSE_MS);
      }
    }),
  );

  if (way === 'silence') await cluster.database.pause();
  else await cluster.database.halt();
  const began = performance.now();
  const seen: Seen[] = [];
  const ask = async (kind: Seen['kind'], replica: number, key: string) => {
    const start = performance.now();
    const { status, body } = await verify(replica, key);
    seen.push({ kind, atMs: start - began, tookMs: performance.now() - start, status, valid: body.valid === true });
  };
  const goOn = () => performance.now() - began < HANG_MS;
  await Promise.all([
    ...Array.from({ length: CLIENTS }, async (_, index) => {
      while (goOn()) {
        await ask('cached', index, known.secret);
        await sleep(PAUSE_MS);
      }
    }),
    (async () => {
      for (let index = 0; goOn(); index += 1) {
        await ask('cold', index, cold[index % COLD_KEYS]!);
        await sleep(HANG_MS / COLD_KEYS / 2);
      }
    })(),
    (async () => {
      for (let index = 0; goOn(); index += 1) {
        await ask('limited', index, limited.secret);
        await sleep(20);
      }
    })(),
  ]);
  if (way === 'silence') cluster.database.resume();
  else cluster.database.proceed();
  const back = performance.now();
  for (const replica of [0, 1]) {
    for (;;) {
      const { status, body } = await verify(replica, known.secret);
      if ((status === 200 && body.valid === true && body.degraded === false) || performance.now() - back > 15_000)
        break;
      await sleep(20);
    }
  }
  return { seen, backMs: performance.now() - back, quietP99Ms: quantile(quiet, 0.99) };
}

/** Each kind of key was asked for before and after STALE_MAX, and answered as long as it may be. */
function floorsOf(way: string, seen: readonly Seen[]): Floor[] {
  const count = (kind: Seen['kind'], isAfter: boolean) =>
    seen.filter(
      (one) =>
        one.kind === kind && (isAfter ? one.atMs > STALE_MAX_MS + MARGIN_MS : one.atMs < STALE_MAX_MS - MARGIN_MS),
    ).length;
  return [
    floor(`${way}: verifies of a known key before STALE_MAX`, count('cached', false), 500),
    floor(`${way}: verifies of a known key after STALE_MAX`, count('cached', true), 100),
    floor(`${way}: verifies of a limited key after STALE_MAX`, count('limited', true), 20),
    floor(`${way}: verifies of unknown keys`, count('cold', false) + count('cold', true), LEAST_COLD),
    floor(`${way}: answers with 503`, seen.filter(({ status }) => status === 503).length, 100),
  ];
}

function judged({ seen, backMs, quietP99Ms }: Hang): string[] {
  const problems: string[] = [];
  const of = (kind: Seen['kind'], from: number, to: number) =>
    seen.filter((one) => one.kind === kind && one.atMs > from && one.atMs < to);
  const trusted = of('cached', 0, STALE_MAX_MS - MARGIN_MS);
  const untrusted = of('cached', STALE_MAX_MS + MARGIN_MS, Infinity);
  const refused = trusted.filter(({ valid }) => !valid);
  if (refused.length > 0)
    problems.push(
      `${refused.length} of ${trusted.length} cached verifies were not answered before STALE_MAX, the first with ${refused[0]!.status} at ${Math.round(refused[0]!.atMs)} ms`,
    );
  const p99 = quantile(
    trusted.map(({ tookMs }) => tookMs),
    0.99,
  );
  // On a machine where a verify takes long in any case, waiting for the database would still be told apart.
  if (p99 > Math.max(CACHED_P99_MS, 2 * quietP99Ms))
    problems.push(`p99 of a cached verify is ${p99} ms, before the hang ${quietP99Ms} ms`);
  const slow = seen.filter(({ tookMs }) => tookMs > REFUSED_WITHIN_MS);
  if (slow.length > 0)
    problems.push(
      `${slow.length} answers took longer than ${REFUSED_WITHIN_MS} ms, up to ${Math.round(Math.max(...slow.map(({ tookMs }) => tookMs)))} ms`,
    );
  // What only the database knows, and what was known too long ago, must not be allowed.
  const open = [...of('cold', 0, Infinity), ...untrusted, ...of('limited', STALE_MAX_MS + MARGIN_MS, Infinity)].filter(
    ({ valid }) => valid,
  );
  if (open.length > 0)
    problems.push(
      `${open.length} verifies were allowed that nobody could verify, the first ${open[0]!.kind} at ${Math.round(open[0]!.atMs)} ms`,
    );
  const odd = seen.filter(({ status, valid }) => !valid && status !== 503);
  if (odd.length > 0)
    problems.push(
      `${odd.length} verifies were refused as if that were known, the first ${odd[0]!.kind} with ${odd[0]!.status}`,
    );
  if (backMs > BACK_WITHIN_MS)
    problems.push(`it took ${Math.round(backMs)} ms after the hang until keys were verified as before`);
  return problems;
}
