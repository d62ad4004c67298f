import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';
import { type ReservingCall, mostTokens } from '../harness/token-window.js';

const SIZES = {
  ci: { loadMs: 4_000, kills: 1, amount: 12_000, between: 500 },
  full: { loadMs: 600_000, kills: 60, amount: 60_000, between: 8_000 },
} as const;
const WINDOW_MS = 60_000;
const CLIENTS = 12;
/** The limit must have been used up, which takes a slow machine longer. */
const LEAST_REFUSED = 4 * CLIENTS;
const MOST_EXTRA_MS = 20_000;
const MOST_RESERVED = 600;
/** What calls use of what they reserve, at the most: so that most of what is let in was given back before. */
const MOST_USED = 0.4;
/** A limit that all replicas use up without any fault. */
const REACHED = 6_000;
const LEAST_REACHED = 0.95;
/** A replica that is killed takes what it has in hand with it, and what it has let in without an answer. */
const LEAST_COUNTED = 0.6;
/** What a replica has in hand is back a second after it was granted. */
const REFUSED_FOR_MS = 2_000;
/** A bucket may leave so long before its calls are a minute old: none does. What is asked for is older by then. */
const CERTAIN_MS = 55_000;

const REFUNDS_TOO_MUCH = `
  CREATE FUNCTION refund_too_much() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF random() < 0.2 AND (SELECT coalesce(sum(c & 4294967295), 0) FROM unnest(NEW.minute_cells) AS c)
        < (SELECT coalesce(sum(c & 4294967295), 0) FROM unnest(OLD.minute_cells) AS c) THEN
      NEW.minute_cells := '{}';
    END IF;
    RETURN NEW;
  END $$;
  CREATE TRIGGER refund_too_much BEFORE UPDATE ON rate_window FOR EACH ROW WHEN (NEW.epoch IS NOT NULL) EXECUTE FUNCTION refund_too_much()`;

/**
 * Clients reserve tokens on one replica and report or release on another, while replicas are killed, with two keys of a
 * project that share a limit of tokens by minute. Each uses less than it reserved, so that most calls live on what
 * others gave back. By the clients' own clock no minute may have more than the limit: of calls that have not ended what
 * they reserved, of others what they used. A second limit is used up without a fault: nearly all of it must be reached.
 */
export const g41: Experiment = {
  id: 'G41',
  guarantee:
    'tokens by minute hold in any interval over 3 replicas, by the time of admission, refunds included, while replicas are killed: 0 over; ≥ 95 % reachable',
  inCi: true,
  fault: { what: 'one refund in five empties the window', sql: REFUNDS_TOO_MUCH },
  run: async ({ size, random, log, fault }) => {
    const { loadMs, kills, amount, between } = SIZES[size];
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const caller = (await cluster.createKey({ roles: ['gateway'] })).secret;
      const load = await TokenLoad.prepare(cluster, random, caller, amount);
      const until = performance.now() + loadMs;
      let killed = 0;
      const isOver = (): boolean => {
        const now = performance.now();
        return killed === kills && now >= until && (load.refused >= LEAST_REFUSED || now >= until + MOST_EXTRA_MS);
      };
      const clients = Array.from({ length: CLIENTS }, () => load.spend(isOver));
      for (; killed < kills; killed += 1) {
        await sleep(between / 2 + random.integer(between));
        const replica = random.pick(cluster.replicas);
        await replica.end('SIGKILL');
        await replica.start();
      }
      await Promise.all(clients);
      const violations = await load.compare();
      const quiet = await TokenLoad.prepare(cluster, random, caller, REACHED);
      await Promise.all(Array.from({ length: CLIENTS }, () => quiet.reach()));
      violations.push(...(await quiet.compare()), ...(await bookDifferences(cluster)));
      const [most, reached] = [load.most(), quiet.reached()];
      const { calls, refused, undecided } = load;
      const given = load.given();
      log(
        `${calls.length} let in, ${refused} refused, ${undecided} undecided, ${killed} kills, at most ${most} of ${amount} tokens in any minute, ${given} given back, ${reached} of ${REACHED} reached`,
      );
      return {
        violations: violations.slice(0, 20),
        floors: [
          floor('calls let in', calls.length, CLIENTS),
          floor('calls refused', refused, LEAST_REFUSED),
          floor('tokens given back', given, amount / 2),
          floor('tokens that counted in some minute', most, amount * LEAST_COUNTED),
          floor('tokens of a limit that were reached', reached, REACHED * LEAST_REACHED),
          floor('replicas killed', killed, kills),
        ],
        figures: { admitted: calls.length, refused, undecided, killed, amount, most, given, reached },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** A limit of tokens by minute of a project with two keys, and clients that use it. */
class TokenLoad {
  readonly calls: ReservingCall[] = [];
  refused = 0;
  undecided = 0;
  private readonly violations: string[] = [];
  private events = 0;

  private constructor(
    private readonly cluster: ProofCluster,
    private readonly random: Random,
    private readonly caller: string,
    private readonly amount: number,
    private readonly limitId: string,
    private readonly keys: readonly { secret: string }[],
  ) {}

  static async prepare(cluster: ProofCluster, random: Random, caller: string, amount: number): Promise<TokenLoad> {
    const make = async (path: string, body: object): Promise<string> => {
      const answer = await patiently(() =>
        cluster.replica(0).client.post(path, { token: cluster.adminToken, body, timeoutMs: 60_000 }),
      );
      if (answer.status !== 201) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
      return answer.body.id as string;
    };
    const projectId = await make('/projects', { name: `Tokens ${amount}` });
    const target = { kind: 'project', id: projectId };
    const limit = { name: `Tokens ${amount}`, unit: 'tokens', per: 'minute', amount, target };
    const limitId = await make('/limits?wait=true', limit);
    const keys = [await cluster.createKey({ projectId }), await cluster.createKey({ projectId })];
    return new TokenLoad(cluster, random, caller, amount, limitId, keys);
  }

  /** Reserves, and reports or releases, until it is over. Few calls never end. */
  async spend(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const one = await this.admit(1 + this.random.integer(MOST_RESERVED));
      if (one === null) {
        await sleep(20);
        continue;
      }
      await sleep(this.random.integer(60));
      const fate = this.random.next();
      if (fate < 0.02) continue;
      await (fate < 0.12 ? this.release(one) : this.report(one));
    }
  }

  /** Uses the limit up, by smaller and smaller calls, until one token is refused for a while. */
  async reach(): Promise<void> {
    let [size, refusedSince] = [MOST_RESERVED, Infinity];
    // Beyond twice the limit it does not hold, and would never refuse.
    while (performance.now() < refusedSince + REFUSED_FOR_MS && this.reached() <= 2 * this.amount) {
      const one = await this.admit(size);
      if (one !== null) {
        refusedSince = Infinity;
        size = Math.min(MOST_RESERVED, 2 * size);
        await this.report(one);
        continue;
      }
      if (size > 1) size = Math.max(1, size >> 1);
      else {
        refusedSince = Math.min(refusedSince, performance.now());
        await sleep(50);
      }
    }
  }

  /** What counted in the fullest minute. */
  most(): number {
    return mostTokens(this.calls, WINDOW_MS);
  }

  /** What was used of all that was let in. */
  reached(): number {
    return this.calls.reduce((sum, { used }) => sum + used, 0);
  }

  /** What calls had reserved and have not used. */
  given(): number {
    return this.calls.reduce((sum, { reserved, used }) => sum + reserved - used, 0);
  }

  /** What the window says, beside what the clients know. */
  async compare(): Promise<string[]> {
    const most = this.most();
    const asked = performance.now();
    const certain = this.calls
      .filter(({ start }) => start > asked - CERTAIN_MS)
      .reduce((sum, { used }) => sum + used, 0);
    const { body } = await patiently(() =>
      this.cluster
        .replica(0)
        .client.request('GET', `/api/v1/limits/${this.limitId}`, { token: this.cluster.adminToken }),
    );
    const used = Number(body.fullest.used);
    // On a slow machine what is certain may have left while the question waited.
    const isInTime = performance.now() < asked + WINDOW_MS - CERTAIN_MS;
    return [
      ...this.violations,
      ...(most > this.amount ? [`${most} tokens counted within a minute, where ${this.amount} may`] : []),
      ...(isInTime && used < certain ? [`the window has ${used} tokens, calls have used ${certain}`] : []),
    ];
  }

  /** Null: it was refused, or nobody decided. */
  private async admit(reserved: number): Promise<(ReservingCall & { reservationId: string }) | null> {
    const start = performance.now();
    const body = { key: this.random.pick(this.keys).secret, reserveTokens: reserved };
    const answer = await this.ask('/verify', body);
    if (answer?.status !== 200) {
      this.undecided += 1;
      return null;
    }
    const { valid, code, limit, reservation } = answer.body;
    if (valid !== true) {
      this.refused += 1;
      if (code !== 'RATE_LIMITED' || limit?.id !== this.limitId)
        this.violations.push(`refused: ${JSON.stringify(answer.body)}`);
      return null;
    }
    const end = performance.now();
    const one = { start, end, reserved, used: reserved, endsAt: Infinity, reservationId: String(reservation.id) };
    this.calls.push(one);
    return one;
  }

  private async report(one: ReservingCall & { reservationId: string }): Promise<void> {
    const used = Math.ceil(this.random.next() * MOST_USED * one.reserved);
    const { reservationId } = one;
    one.endsAt = performance.now();
    one.used = used;
    const event = { id: `t${this.amount}-${(this.events += 1)}`, reservationId, outputTokens: used, costCents: 0 };
    const { status, body } = await this.deliver('/usage', { events: [event] });
    const outcome = (body.results as { outcome: string }[] | undefined)?.[0]?.outcome;
    if (status !== 200 || (outcome !== 'accepted' && outcome !== 'duplicate'))
      this.violations.push(`a report answered ${status}: ${JSON.stringify(body)}`);
  }

  private async release(one: ReservingCall & { reservationId: string }): Promise<void> {
    one.endsAt = performance.now();
    one.used = 0;
    const { status, body } = await this.deliver('/reservations/release', { reservationId: one.reservationId });
    if (status !== 200) this.violations.push(`a release answered ${status}: ${JSON.stringify(body)}`);
  }

  /** Sends it until it is acknowledged: a repeat changes nothing. */
  private async deliver(path: string, body: unknown): Promise<ProofAnswer> {
    for (;;) {
      const answer = await this.ask(path, body);
      if (answer !== null && answer.status !== 503) return answer;
      await sleep(25);
    }
  }

  /** Null: no answer came, because a replica was killed. */
  private async ask(path: string, body: unknown): Promise<ProofAnswer | null> {
    const { client } = this.random.pick(this.cluster.replicas);
    return client.post(path, { apiKey: this.caller, body, timeoutMs: 3_000 }).catch(() => null);
  }
}
