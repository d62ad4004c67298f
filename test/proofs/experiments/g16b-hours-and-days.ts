import { setTimeout as sleep } from 'node:timers/promises';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floorsOfKinds } from '../harness/floors.js';
import { NO_MOVED_CLOCK, SteppedClock } from '../harness/moved-clock.js';
import { type Admitted, mostWithin } from '../harness/sliding-window.js';
import { GRANTS_TOO_MUCH } from './g16-rate-limits-in-any-interval.js';

const LIMIT = 300;
const WINDOWS = {
  hour: { lengthMs: 3_600_000, field: 'rateLimitPerHour' },
  day: { lengthMs: 86_400_000, field: 'rateLimitPerDay' },
} as const;
type Window = keyof typeof WINDOWS;
/**
 * When calls are made, in parts of the window: half of the limit, then as many as there are. The first half is back
 * after one window and the size of a bucket, the other half somewhat later.
 */
const BURSTS = [
  { at: 0, most: LIMIT / 2 },
  { at: 0.4, most: Number.POSITIVE_INFINITY },
  { at: 0.8, most: Number.POSITIVE_INFINITY },
  { at: 1.1, most: Number.POSITIVE_INFINITY },
  { at: 1.3, most: Number.POSITIVE_INFINITY },
  { at: 1.5, most: Number.POSITIVE_INFINITY },
] as const;
const CLIENTS = 9;
/** Refusals of one replica without an accept between them: it has no permits left. */
const ENOUGH_REFUSALS = 5;
const REPLICAS = 3;
/** After a step replicas trust nothing until they have heard of PostgreSQL. */
const READY_WITHIN_MS = 30_000;
const MOST_CALLS = 5_000;

/**
 * Limits an hour and a day over three replicas, live: the clock that PostgreSQL and the replicas share steps on between
 * bursts of calls, as if all of them had been idle meanwhile. Calls are judged by that clock.
 */
export const g16b: Experiment = {
  id: 'G16b',
  guarantee:
    'rate limits of an hour and of a day hold in any interval over 3 replicas: 0 over; ≥ 95 % reachable; what was used comes back',
  inCi: true,
  fault: { what: 'a tenth more permits are granted than the limit has', sql: GRANTS_TOO_MUCH },
  run: async ({ log, fault }): Promise<Outcome> => {
    const clock = await SteppedClock.start();
    if (clock === null) return { skipped: NO_MOVED_CLOCK };
    const cluster = await ProofCluster.start(REPLICAS, { ...clock.environment }, fault, [], clock.environment);
    try {
      const trial = await Trial.prepare(cluster, clock);
      const violations: string[] = [];
      const figures: Record<string, number> = { limit: LIMIT };
      const names = Object.keys(WINDOWS) as Window[];
      for (const name of names) {
        const most = await trial.run(name);
        figures[`${name}Most`] = most;
        log(
          `${name}: at most ${most} of ${LIMIT} calls in any ${name}; admitted by burst: ${trial.admittedBy.get(name)!.join(' ')}`,
        );
        if (most > LIMIT) violations.push(`${most} calls within one ${name}, the limit is ${LIMIT}`);
        if (most < 0.95 * LIMIT) violations.push(`only ${most} calls in the best ${name}, the limit is ${LIMIT}`);
      }
      return {
        violations: [...violations, ...trial.violations],
        floors: [
          ...floorsOfKinds('calls admitted before the window had passed:', names, trial.sums(0, 3), 0.9 * LIMIT),
          ...floorsOfKinds('calls admitted after it had:', names, trial.sums(3, BURSTS.length), 0.9 * LIMIT),
          ...floorsOfKinds('calls refused:', names, trial.refused, BURSTS.length * ENOUGH_REFUSALS),
        ],
        figures,
      };
    } finally {
      await cluster.stop();
      await clock.remove();
    }
  },
};

class Trial {
  readonly violations: string[] = [];
  readonly admittedBy = new Map<Window, number[]>();
  readonly refused = new Map<Window, number>();

  private constructor(
    private readonly cluster: ProofCluster,
    private readonly clock: SteppedClock,
    private readonly callerSecret: string,
    /** Without limits: whether a replica is ready is seen by it. */
    private readonly freeSecret: string,
    private readonly limited: ReadonlyMap<Window, string>,
  ) {}

  static async prepare(cluster: ProofCluster, clock: SteppedClock): Promise<Trial> {
    const caller = await cluster.createKey({ roles: ['gateway'] });
    const free = await cluster.createKey();
    const limited = new Map<Window, string>();
    // Before any step: a session would end in the meantime.
    for (const name of Object.keys(WINDOWS) as Window[])
      limited.set(name, (await cluster.createKey({ [WINDOWS[name].field]: LIMIT })).secret);
    return new Trial(cluster, clock, caller.secret, free.secret, limited);
  }

  /** Gives the most calls that were admitted within one window, wherever it begins. */
  async run(name: Window): Promise<number> {
    const { lengthMs } = WINDOWS[name];
    const secret = this.limited.get(name)!;
    const beganAheadMs = this.clock.aheadMs;
    const admitted: Admitted[] = [];
    const counts: number[] = [];
    for (const { at, most } of BURSTS) {
      await this.clock.stepTo(Math.round((beganAheadMs + at * lengthMs) / 1_000));
      await this.untilReady();
      const found = await this.burst(name, secret, most);
      counts.push(found.length);
      admitted.push(...found);
    }
    this.admittedBy.set(name, counts);
    return mostWithin(admitted, lengthMs);
  }

  /** Of each window, the calls that were admitted in some of the bursts. */
  sums(from: number, to: number): Map<Window, number> {
    return new Map(
      [...this.admittedBy].map(([name, counts]) => [name, counts.slice(from, to).reduce((sum, one) => sum + one, 0)]),
    );
  }

  /** Calls until `most` were admitted, or every replica has refused some in a row. */
  private async burst(name: Window, secret: string, most: number): Promise<Admitted[]> {
    const admitted: Admitted[] = [];
    const inARow = Array.from({ length: REPLICAS }, () => 0);
    let asked = 0;
    let underWay = 0;
    const isOver = () =>
      admitted.length + underWay >= most || inARow.every((count) => count >= ENOUGH_REFUSALS) || asked >= MOST_CALLS;
    const client = async (index: number) => {
      const replica = index % REPLICAS;
      while (!isOver()) {
        asked += 1;
        underWay += 1;
        const start = performance.now() + this.clock.aheadMs;
        const { status, body } = await this.verify(replica, secret).finally(() => (underWay -= 1));
        if (body.valid === true) {
          admitted.push({ start, end: performance.now() + this.clock.aheadMs });
          inARow[replica] = 0;
        } else if (body.code === 'RATE_LIMITED') {
          inARow[replica]! += 1;
          this.refused.set(name, (this.refused.get(name) ?? 0) + 1);
        } else if (status !== 503) this.violations.push(`a verify answered ${status} ${String(body.code)}`);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)));
    return admitted;
  }

  private async untilReady(): Promise<void> {
    const until = performance.now() + READY_WITHIN_MS;
    for (let replica = 0; replica < REPLICAS; replica += 1) {
      for (;;) {
        const { body } = await this.verify(replica, this.freeSecret);
        if (body.valid === true && body.degraded === false) break;
        if (performance.now() > until)
          return void this.violations.push(`replica ${replica} did not verify after the clock had stepped`);
        await sleep(50);
      }
    }
  }

  private verify(replica: number, key: string) {
    return patiently(() =>
      this.cluster.replica(replica).client.post('/verify', { apiKey: this.callerSecret, body: { key } }),
    );
  }
}
