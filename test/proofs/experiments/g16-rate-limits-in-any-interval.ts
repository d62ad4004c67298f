import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, Floor, Size } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';
import { type Admitted, mostWithin } from '../harness/sliding-window.js';

/** A minute and a little more, so that there are intervals of a minute. */
const SECONDS = { ci: 65, full: 240 } as const;
/** Three times the limit is offered meanwhile: what is too much shows within a third of a minute. */
const SECONDS_OF_KILLS = { ci: 50, full: 240 } as const;
const LEAST_KILLS = 3;
const WINDOW_MS = 60_000;
const LIMIT = 600;
const OFFERED = [0.9, 1, 10] as const;
const TICK_MS = 20;
const WARM_UP = 300;
/** While replicas die. */
const FAULTY_LOAD = 3;
const KILL_EVERY_MS = 6_000;
/**
 * What a crash of PostgreSQL may forget: permits granted in the last 0.6 s, of which each replica takes those of two
 * seconds.
 */
const FORGOTTEN_SECONDS = 0.6 + 2;
/** Of a function of the product: a tenth more than the limit is granted. Fails where the function does not say it. */
export const GRANTS_TOO_MUCH = `DO $$
DECLARE v_before text := pg_get_functiondef('quota_windows_3'::regproc);
DECLARE v_after text := replace(v_before, 'greatest(0, p_limit[i] - v_sum)', 'greatest(0, p_limit[i] * 11 / 10 - v_sum)');
BEGIN
  IF v_after = v_before THEN RAISE 'quota_windows_3 does not say what this replaces'; END IF;
  EXECUTE v_after;
END $$`;

/**
 * Three keys, offered less than their limit, as much, and far more, each over three replicas. Then one key is offered
 * three times its limit while replicas are killed, and in a full run while PostgreSQL is.
 */
export const g16: Experiment = {
  id: 'G16',
  guarantee:
    'rate limits hold in any interval over 3 replicas at 0.9×, 1× and 10×, and while replicas are killed: 0 over; ≥ 95 % reachable; 0 refusals at 0.9×',
  inCi: true,
  fault: { what: 'a tenth more permits are granted than the limit has', sql: GRANTS_TOO_MUCH },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const violations: string[] = [];
      const floors: [Floor, ...Floor[]] = [floor('loads offered', 0, OFFERED.length)];
      const figures: Record<string, number> = { limit: LIMIT, offeredSeconds: SECONDS[size] };
      const newKey = async (): Promise<Ask> => {
        const { secret } = await cluster.createKey({ rateLimitPerMinute: LIMIT });
        return (client) =>
          cluster
            .replica(client)
            .client.post('/verify', { apiKey: caller.secret, body: { key: secret }, timeoutMs: 5_000 });
      };
      // Code and connections get warm before anything is measured: what was started a moment ago is slow.
      const other = await newKey();
      for (let call = 0; call < WARM_UP; call += 1) await other(call);
      await Promise.all(
        OFFERED.map(async (load) => {
          const { admitted, refused, asked, undecided, wrong } = await offer(
            await newKey(),
            load,
            SECONDS[size],
            random.integer(3),
          );
          const most = mostWithin(admitted, WINDOW_MS);
          const name = `at${String(load).replace('.', '_')}x`;
          Object.assign(figures, {
            [`${name}Asked`]: asked,
            [`${name}Most`]: most,
            [`${name}Refused`]: refused,
            [`${name}Undecided`]: undecided.length,
          });
          log(
            `${load}×: ${asked} asked, ${refused} refused, at most ${most} in any minute, ${undecided.length} undecided`,
          );
          violations.push(...wrong.map((one) => `${load}×: ${one}`));
          if (undecided.length > 0)
            violations.push(
              `${load}×: ${undecided.length} of ${asked} calls were not decided, without a fault: ${undecided.slice(0, 3).join('; ')}`,
            );
          if (most > LIMIT) violations.push(`${load}×: ${most} calls within one minute, the limit is ${LIMIT}`);
          if (load < 1 && refused > 0) violations.push(`${load}×: ${refused} refusals below the limit`);
          if (load >= 1 && most < 0.95 * LIMIT)
            violations.push(`${load}×: only ${most} calls in the best minute, the limit is ${LIMIT}`);
          floors[0] = { ...floors[0], got: floors[0].got + 1 };
          floors.push(floor(`${load}×: calls admitted`, admitted.length, LIMIT * 0.9));
          if (load > 1) floors.push(floor(`${load}×: calls refused`, refused, LIMIT));
        }),
      );
      if (violations.length > 0) {
        for (const reason of await cluster.reasons()) log(reason);
        // Kills would show no more, and a replica does not start on a database whose functions the fault has edited.
        return { violations, floors, figures };
      }
      for (const crashEvery of size === 'full' ? [0, 4] : [0])
        violations.push(...(await underKills(cluster, await newKey(), size, random, crashEvery, figures, floors, log)));
      return { violations, floors, figures };
    } finally {
      await cluster.stop();
    }
  },
};

/** One replica after the other is killed; after every so many, PostgreSQL (0: never). */
async function underKills(
  cluster: ProofCluster,
  ask: Ask,
  size: Size,
  random: Random,
  crashEvery: number,
  figures: Record<string, number>,
  floors: Floor[],
  log: (line: string) => void,
): Promise<string[]> {
  const seconds = SECONDS_OF_KILLS[size];
  const offered = offer(ask, FAULTY_LOAD, seconds, random.integer(3));
  const until = performance.now() + seconds * 1000;
  let kills = 0;
  let crashes = 0;
  while (performance.now() + KILL_EVERY_MS < until) {
    await sleep(KILL_EVERY_MS / 2 + random.integer(KILL_EVERY_MS / 2));
    kills += 1;
    if (crashEvery > 0 && kills % crashEvery === 0) {
      crashes += 1;
      cluster.database.kill();
      await cluster.database.restart();
    } else {
      const replica = random.pick(cluster.replicas);
      await replica.end('SIGKILL');
      await replica.start();
    }
  }
  const { admitted, refused, wrong } = await offered;
  const most = mostWithin(admitted, WINDOW_MS);
  const forgotten = crashes === 0 ? 0 : Math.ceil(((LIMIT * FAULTY_LOAD) / 60) * FORGOTTEN_SECONDS);
  const name = crashEvery === 0 ? 'underKills' : 'underCrashes';
  Object.assign(figures, { [`${name}Kills`]: kills, [`${name}Most`]: most, [`${name}Crashes`]: crashes });
  log(`${name}: ${kills} faults, ${admitted.length} admitted, ${refused} refused, at most ${most} in any minute`);
  const violations = wrong.map((one) => `${name}: ${one}`);
  // Two crashes may lie in one minute.
  if (most > LIMIT + forgotten * Math.min(2, crashes))
    violations.push(`${name}: ${most} calls within one minute, the limit is ${LIMIT}`);
  floors.push(
    floor(`${name}: calls admitted`, admitted.length, LIMIT / 2),
    floor(`${name}: calls refused`, refused, 1),
    floor(`${name}: faults`, kills, LEAST_KILLS),
  );
  return violations;
}

interface Offered {
  readonly admitted: Admitted[];
  readonly refused: number;
  readonly asked: number;
  /** When, after how long, and with what words. */
  readonly undecided: string[];
  /** Answers that must not be. */
  readonly wrong: string[];
}

type Ask = (replica: number) => Promise<{ status: number; body: { valid: boolean; code: string; detail: string } }>;

/** Asks at an even rate, whatever the answers are and however long they take. */
async function offer(ask: Ask, load: number, seconds: number, from: number): Promise<Offered> {
  const admitted: Admitted[] = [];
  const underWay: Promise<void>[] = [];
  const undecided: string[] = [];
  const wrong: string[] = [];
  let refused = 0;
  let asked = 0;
  const began = performance.now();
  const once = async () => {
    const start = performance.now();
    const took = () => `${Math.round(start - began)} ms + ${Math.round(performance.now() - start)} ms`;
    const answer = await ask(from + asked).catch(
      (error: unknown) => void undecided.push(`${took()}: ${String(error)}`),
    );
    if (answer === undefined) return;
    const { status, body } = answer;
    if (status === 200 && body.valid) admitted.push({ start, end: performance.now() });
    else if (status === 200 && body.code === 'RATE_LIMITED') refused += 1;
    else if (status === 503) undecided.push(`${took()}: ${body.detail}`);
    else wrong.push(`a verify answered ${status} ${body.code}`);
  };
  for (;;) {
    const passed = performance.now() - began;
    if (passed > seconds * 1000) break;
    for (; asked < (passed / WINDOW_MS) * LIMIT * load; asked += 1) underWay.push(once());
    await sleep(TICK_MS);
  }
  await Promise.all(underWay);
  return { admitted, refused, asked, undecided, wrong };
}
