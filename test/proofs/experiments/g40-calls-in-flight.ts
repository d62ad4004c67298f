import { setTimeout as sleep } from 'node:timers/promises';
import { insertLimit } from '../../support/limits.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor, floorsOfKinds } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';

const SIZES = {
  ci: { calls: 600, mostMs: 9_000, kills: 1 },
  full: { calls: 100_000, mostMs: 3_600_000, kills: 100 },
} as const;
/** The janitor looks each second for holds that ended a second ago by a clock it has watched, and runs a statement. */
const LATE_MS = 3_000;
const LOOK_MS = 200;
/** How long slots are waited for at most, on a machine that other work keeps busy. */
const MOST_LATE_MS = 30_000;
const CLIENTS = 24;
const KEYS = 4;
const TARGETS = ['key', 'owner', 'installation'] as const;
/** Of the calls that are admitted. A slot that is lost is missing for ten seconds. */
const LOST_EVERY = 40;
const RENEWED_EVERY = 9;
const TTL_SECONDS = [1, 2];
/** From the verdict: 2 s to admit, 5 s to act, and the longest time to live. */
const LONGEST_HOLD_MS = 9_000;

const FREES_TWICE = `
  CREATE FUNCTION free_twice() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF random() < 0.2 THEN NEW.leased_micro_cents := greatest(0, NEW.leased_micro_cents - 1); END IF;
    RETURN NEW;
  END $$;
  CREATE TRIGGER free_twice BEFORE UPDATE ON budget_account FOR EACH ROW
    WHEN (NEW.limit_id IS NOT NULL AND NEW.leased_micro_cents < OLD.leased_micro_cents) EXECUTE FUNCTION free_twice()`;

/**
 * Clients make calls on one replica and end them on another, of keys that share limits of calls in flight. Some calls
 * are renewed, some clients are never heard of again, and replicas are killed. The calls in flight are counted beside
 * the product, by the clock of the clients: from the answer that admits a call until its end is sent, and of one that
 * is lost until its time to live is over.
 */
export const g40: Experiment = {
  id: 'G40',
  guarantee: 'calls in flight are never more than a limit allows, and every slot comes back once its hold is over',
  inCi: true,
  fault: { what: 'one slot in five that is freed frees another one too', sql: FREES_TWICE },
  run: async ({ size, random, log, fault }) => {
    const { calls, mostMs, kills } = SIZES[size];
    const cluster = await ProofCluster.start(3, { MAX_ACTIVE_KEYS: '10000' }, fault);
    try {
      const load = new Load(cluster, random, performance.now() + mostMs, calls);
      await load.prepare();
      const clients = Promise.all(Array.from({ length: CLIENTS }, () => load.run()));
      const watch = load.watchHolds();
      let killed = 0;
      // The first one goes on watching the clock: it closes what the others and the clients have left.
      for (const [, ...others] = cluster.replicas; killed < kills && !load.isOver; killed += 1) {
        await sleep(Math.min(mostMs / (kills + 1), 10_000));
        const replica = random.pick(others);
        await replica.end('SIGKILL');
        await replica.start();
      }
      await clients;
      load.isDone = true;
      await watch;
      const left = await load.comesBack(LONGEST_HOLD_MS + MOST_LATE_MS);
      const violations = [...load.violations, ...(await bookDifferences(cluster))];
      // The machine may keep the janitor waiting for as long as it keeps this process.
      const mayBeLateMs = LATE_MS + load.delayMs;
      if (load.latestMs > mayBeLateMs)
        violations.push(`a slot was held ${load.latestMs} ms beyond its hold, ${mayBeLateMs} ms it may be`);
      if (left > 0) violations.push(`${left} slots have not come back`);
      const { admitted, refused, lost, renewed, undecided, most, latestMs, delayMs } = load;
      log(`${admitted} admitted, ${undecided} undecided, ${lost} lost, ${renewed} renewed, ${killed} kills`);
      return {
        violations: violations.slice(0, 20),
        floors: [
          floor('calls admitted', admitted, calls / 10),
          floor('calls lost', lost, 1),
          floor('reservations renewed', renewed, 3),
          floor('replicas killed', killed, 1),
          ...floorsOfKinds('calls refused by a limit of', TARGETS, refused, 1),
        ],
        figures: {
          ...{ admitted, undecided, lost, renewed, killed, latestMs, delayMs },
          ...Object.fromEntries([...most].map(([name, count]) => [`mostInFlight_${name}`, count])),
          ...Object.fromEntries(refused),
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

interface Key {
  readonly id: string;
  readonly secret: string;
  readonly ownerId: string;
}

class Load {
  admitted = 0;
  lost = 0;
  renewed = 0;
  undecided = 0;
  isDone = false;
  /** The longest that a slot was seen after the end of its hold. */
  latestMs = 0;
  /** The most that a look at the slots took longer than its pause: waits of this process and of PostgreSQL. */
  delayMs = 0;
  readonly refused = new Map<(typeof TARGETS)[number], number>();
  readonly violations: string[] = [];
  /** The most calls that were seen in flight, by limit. */
  readonly most = new Map<string, number>();
  private readonly inFlight = new Map<string, number>();
  private readonly limits: LimitRow[] = [];
  private readonly keys: Key[] = [];
  private callerSecret = '';
  private events = 0;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly random: Random,
    private readonly untilMs: number,
    private readonly calls: number,
  ) {}

  get isOver(): boolean {
    return this.admitted >= this.calls || performance.now() > this.untilMs;
  }

  async prepare(): Promise<void> {
    const create = async (draft: Parameters<typeof insertLimit>[1]): Promise<void> => {
      const slots = { unit: 'slots', per: null } as const;
      const query = (sql: string, values: unknown[]): Promise<unknown> => this.cluster.database.query(sql, values);
      this.limits.push(await insertLimit(query, { ...slots, ...draft }));
    };
    // Before any key is known to a replica.
    await create({ name: 'watched', amount: 1n, mode: 'observe' });
    await create({ name: 'all', amount: 14n });
    await create({ name: 'each key', amount: 7n, each: 'key' });
    const owners: string[] = [];
    for (let index = 0; index < 2; index += 1) {
      const { client } = this.cluster.replicas[0]!;
      const body = { name: `Owner ${index}`, kind: 'service' };
      const { body: made } = await client.post('/users', { token: this.cluster.adminToken, body });
      owners.push(made.id as string);
    }
    await create({ name: 'owner', targetKind: 'owner', targetId: owners[0]!, amount: 4n });
    this.callerSecret = (await this.cluster.createKey({ roles: ['gateway'] })).secret;
    for (let index = 0; index < KEYS; index += 1) {
      const ownerId = owners[index % 2]!;
      this.keys.push({ ...(await this.cluster.createKey({ ownerId })), ownerId });
    }
    await create({ name: 'key', targetKind: 'key', targetId: this.keys[0]!.id, amount: 3n });
  }

  /** Calls, one after the other, until there were enough of them. */
  async run(): Promise<void> {
    while (!this.isOver) await this.once();
  }

  /** Looks again and again how long after the end of its hold a slot is still there. */
  async watchHolds(): Promise<void> {
    while (!this.isDone) {
      await this.lookAfterPause();
    }
  }

  /** Gives how many slots are left after the longest hold; those that come back do so by then. */
  async comesBack(withinMs: number): Promise<number> {
    const untilMs = performance.now() + withinMs;
    for (;;) {
      await this.lookAfterPause();
      const [row] = await this.cluster.database.query<{ held: number }>(
        `SELECT coalesce(sum(leased_micro_cents), 0)::int AS held FROM budget_account WHERE limit_id IS NOT NULL`,
      );
      if (row!.held === 0 || performance.now() > untilMs) return row!.held;
    }
  }

  private async lookAfterPause(): Promise<void> {
    const beganMs = performance.now();
    await sleep(LOOK_MS);
    await this.noteLate();
    this.delayMs = Math.max(this.delayMs, Math.round(performance.now() - beganMs - LOOK_MS));
  }

  private async noteLate(): Promise<void> {
    const [row] = await this.cluster.database.query<{ late: number }>(
      `SELECT coalesce(extract(epoch FROM max(clock_timestamp() - hold_until)) * 1000, 0)::int AS late FROM budget_lease
        WHERE hold_until < clock_timestamp()`,
    );
    this.latestMs = Math.max(this.latestMs, row!.late);
  }

  private async once(): Promise<void> {
    const { random } = this;
    const key = random.pick(this.keys);
    const reservationTtlSeconds = random.pick(TTL_SECONDS);
    const sentMs = performance.now();
    const answer = await this.ask('/verify', { key: key.secret, reservationTtlSeconds });
    if (answer?.status !== 200) {
      this.undecided += 1;
      return void (await sleep(25));
    }
    if (answer.body.valid !== true) return this.noteRefusal(answer);
    this.admitted += 1;
    const accounts = this.accountsOf(key);
    this.begin(accounts);
    const reservationId = answer.body.reservation?.id as string | undefined;
    if (reservationId === undefined) return void this.violations.push('a call was admitted without a reservation');
    const number = this.admitted;
    if (number % LOST_EVERY === 0) {
      this.lost += 1;
      // From before the verify was sent: the recorder must not count what the product promises to nobody any more.
      const leftMs = Math.max(0, sentMs + reservationTtlSeconds * 1000 - performance.now());
      void sleep(leftMs).then(() => this.end(accounts));
      return;
    }
    await sleep(random.integer(60));
    if (number % RENEWED_EVERY === 0) await this.renew(reservationId, reservationTtlSeconds);
    this.end(accounts);
    if (random.next() < 0.3) await this.deliver('/reservations/release', { reservationId });
    else {
      const event = { id: `e${(this.events += 1)}`, reservationId, costCents: 0.01 };
      const { status, body } = await this.deliver('/usage', { events: [event] });
      if (status !== 200) this.violations.push(`a report answered ${status}: ${JSON.stringify(body)}`);
    }
  }

  /** The call takes longer than was thought. */
  private async renew(reservationId: string, ttlSeconds: number): Promise<void> {
    const answer = await this.ask('/reservations/renew', { reservationId, ttlSeconds });
    if (answer?.status === 200) this.renewed += 1;
    else if (answer !== null && answer.status !== 503)
      this.violations.push(`a renewal answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    await sleep(this.random.integer(ttlSeconds * 300));
  }

  private accountsOf(key: Key): string[] {
    return this.limits.flatMap(({ name, targetKind, targetId, each }) => {
      if (targetKind === 'key' && targetId !== key.id) return [];
      if (targetKind === 'owner' && targetId !== key.ownerId) return [];
      return [each === 'key' ? `${name}/${key.id}` : name];
    });
  }

  private begin(accounts: readonly string[]): void {
    for (const account of accounts) {
      const count = (this.inFlight.get(account) ?? 0) + 1;
      this.inFlight.set(account, count);
      const [name = ''] = account.split('/');
      this.most.set(name, Math.max(this.most.get(name) ?? 0, count));
      const { amount, mode } = this.limits.find((limit) => limit.name === name)!;
      if (mode === 'enforce' && BigInt(count) > amount)
        this.violations.push(`${count} calls of ${account} are in flight, ${amount} may be`);
    }
  }

  private end(accounts: readonly string[]): void {
    for (const account of accounts) this.inFlight.set(account, this.inFlight.get(account)! - 1);
  }

  private async noteRefusal({ body }: ProofAnswer): Promise<void> {
    const limit = this.limits.find(({ id }) => id === body.limit?.id);
    if (body.code !== 'CONCURRENCY_LIMITED' || limit === undefined || limit.mode === 'observe')
      this.violations.push(`a verify was refused: ${JSON.stringify(body)}`);
    else {
      const kind = limit.targetKind as (typeof TARGETS)[number];
      this.refused.set(kind, (this.refused.get(kind) ?? 0) + 1);
    }
    await sleep(20);
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
    return client.post(path, { apiKey: this.callerSecret, body, timeoutMs: 3_000 }).catch(() => null);
  }
}
