import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdmissionRecorder, mostOver } from '../harness/admission-recorder.js';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster, ProofDatabase } from '../harness/cluster.js';
import type { Experiment, ExperimentContext, Floor, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { JumpingClocks } from '../harness/moved-clock.js';
import { Spenders } from '../harness/spenders.js';

const REPLICAS = 3;
const WINDOW_MS = 60_000;
const LIMIT = 120;
const OFFERED_PER_SECOND = 12;
/** So many refusals show that a limit is used up before the first clock jumps. */
const USED_UP = 20;
const USED_UP_WITHIN_MS = 60_000;
const MICRO_CENTS = 1_000_000;
/** So little that it is used up within each part. */
const BUDGET_CENTS = 40;
const CLIENTS = 6;
const OFFSETS = [300, -300, 3_600, -3_600] as const;
const DATABASE = 'database';
/** How often hosts jump, and the database; the first part lasts longer than one window. */
const JUMPS = { ci: { hosts: 11, database: 5 }, full: { hosts: 60, database: 24 } } as const;
const HOST_PAUSE_MS = 6_000;
/** A step of the database's clock is seen by every poll of a feed within this. */
const DATABASE_PAUSE_MS = 5_000;
const SHORT_MS = 3_000;
const LONG_MS = 120_000;
/** A machine that is busy may need longer for a change than its key has left. */
const LONGEST_MS = 4 * LONG_MS;
const TRIES = 30;
const RETRY_WITHIN_SECONDS = 61;

type Cluster = ProofCluster<ProofDatabase>;

/**
 * The clocks of three replicas jump under load, one by one and together; then that of PostgreSQL does. A recorder
 * outside counts by its own monotonic clock.
 *
 * A clock of PostgreSQL that jumps ahead begins windows anew, once for each jump: a stated exception
 * (docs/operations.md, Clocks). Budgets know none.
 */
export const g18: Experiment = {
  id: 'G18',
  guarantee:
    'clocks that jump by 300 s and an hour break no promise: 0 over a limit or a budget; keys, sessions, reservations, repeats and throttles end when they should',
  inCi: false,
  fault: { what: 'the time of day is that of the host', patch: 'trusts-host-clock.mjs' },
  run: async (context): Promise<Outcome> => {
    const names = Array.from({ length: REPLICAS }, (_, index) => `host-${index}`);
    const clocks = await JumpingClocks.prepare([...names, DATABASE]);
    if (clocks === null) return { skipped: 'libfaketime is not installed (Debian: apt-get install faketime)' };
    try {
      const database = await ProofDatabase.start(clocks.environment(DATABASE));
      const ofEach = names.map((name) => clocks.environment(name));
      const cluster = await ProofCluster.startOn(database, REPLICAS, {}, context.fault, [], ofEach);
      try {
        return await new Trial(cluster, clocks, names, context).run();
      } finally {
        await cluster.stop();
      }
    } finally {
      await clocks.remove();
    }
  },
};

class Trial {
  private readonly violations: string[] = [];
  private readonly figures: Record<string, number> = {};
  private caller = '';

  constructor(
    private readonly cluster: Cluster,
    private readonly clocks: JumpingClocks,
    private readonly hosts: readonly string[],
    private readonly context: ExperimentContext,
  ) {}

  async run(): Promise<Outcome> {
    this.caller = (await this.cluster.createKey({ roles: ['gateway'] })).secret;
    await this.part('hosts', () => this.moveHosts());
    await this.part('database', (jumped) => this.moveDatabase(jumped));
    this.violations.push(...(await bookDifferences(this.cluster)));
    const { violations, figures } = this;
    const floors: [Floor, ...Floor[]] = [floor('promises looked at', figures['promises'] ?? 0, 60)];
    for (const part of ['hosts', 'database'] as const) {
      floors.push(floor(`${part}: calls admitted`, figures[`${part}Admitted`]!, LIMIT / 2));
      floors.push(floor(`${part}: calls over the limit refused`, figures[`${part}Refused`]!, USED_UP));
      floors.push(
        floor(`${part}: micro-cents spent`, figures[`${part}SpentMicroCents`]!, (BUDGET_CENTS * MICRO_CENTS) / 4),
      );
    }
    return { violations: violations.slice(0, 50), floors, figures };
  }

  /** Load on a limit and on a budget, while `move` moves clocks and tells when one of the database jumped ahead. */
  private async part(name: string, move: (jumped: number[]) => Promise<void>): Promise<void> {
    const { cluster, context } = this;
    const limited = await cluster.createKey({ rateLimitPerMinute: LIMIT });
    const ask = (turn: number) =>
      cluster
        .replica(turn)
        .client.post('/verify', { apiKey: this.caller, body: { key: limited.secret }, timeoutMs: 5_000 });
    const recorder = new AdmissionRecorder(ask, OFFERED_PER_SECOND);
    const key = await cluster.createKey({ budgetLimitCents: BUDGET_CENTS });
    const habits = { clients: CLIENTS, thinkMs: 2_000, repeats: 0.2, withFaults: true };
    const spenders = new Spenders(cluster, key, this.caller, BUDGET_CENTS * MICRO_CENTS, context.random, habits);
    const recording = recorder.run();
    const spending = spenders.spend(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    const jumped: number[] = [];
    const begun = performance.now();
    while (recorder.refused < USED_UP && performance.now() < begun + USED_UP_WITHIN_MS) await sleep(100);
    await move(jumped);
    recorder.end();
    spenders.end();
    await Promise.all([recording, spending]);
    const over = mostOver(
      recorder.admitted,
      WINDOW_MS,
      (start) => LIMIT * (1 + jumped.filter((at) => at > start && at < start + WINDOW_MS).length),
    );
    const [account] = await cluster.database.query<{ spent: string; overdraft: string }>(
      `SELECT spent_micro_cents::text AS spent, overdraft_micro_cents::text AS overdraft FROM budget_account WHERE key_id = $1 AND period = 'total'`,
      [key.id],
    );
    Object.assign(this.figures, {
      [`${name}Admitted`]: recorder.admitted.length,
      [`${name}Refused`]: recorder.refused,
      [`${name}Over`]: over,
      [`${name}Undecided`]: recorder.undecided + spenders.undecided,
      [`${name}SpentMicroCents`]: Number(account!.spent),
    });
    context.log(
      `${name}: ${recorder.admitted.length} admitted, ${recorder.refused} refused, ${over} over; ${account!.spent} µ¢ of a budget spent`,
    );
    const say = (what: string) => this.violations.push(`${name}: ${what}`);
    [...recorder.wrong.slice(0, 5), ...spenders.violations.slice(0, 5)].forEach(say);
    if (over > 0) say(`${over} calls over the limit of ${LIMIT} in a minute`);
    if (Number(account!.spent) > BUDGET_CENTS * MICRO_CENTS) say(`overspent: ${account!.spent} µ¢`);
    if (Number(account!.spent) !== spenders.acknowledged)
      say(`${spenders.acknowledged} µ¢ were acknowledged, ${account!.spent} are in the account`);
    if (account!.overdraft !== '0') say(`an overdraft of ${account!.overdraft} µ¢`);
  }

  /** One host, or all of them by as much or each by its own. What was promised before is looked at after each jump. */
  private async moveHosts(): Promise<void> {
    const { random, size } = this.context;
    for (let jump = 0; jump < JUMPS[size].hosts; jump += 1) {
      const promises = await this.promise(jump);
      const kind = jump % 3;
      const offset = random.pick(OFFSETS);
      const moved = kind === 0 ? [random.pick(this.hosts)] : this.hosts;
      for (const host of moved) await this.clocks.jump(host, kind === 2 ? random.pick([...OFFSETS, 0]) : offset);
      this.context.log(`${moved.join(' ')}: ${offset} s${kind === 2 ? ', each by its own' : ''}`);
      const begun = performance.now();
      for (const look of promises) await look();
      await sleep(Math.max(0, HOST_PAUSE_MS - (performance.now() - begun)));
    }
    for (const host of this.hosts) await this.clocks.jump(host, 0);
    await sleep(SHORT_MS);
  }

  private async moveDatabase(jumped: number[]): Promise<void> {
    const { random, size } = this.context;
    let at = 0;
    for (let jump = 0; jump <= JUMPS[size].database; jump += 1) {
      // To and fro, and right at the end.
      const next = jump === JUMPS[size].database ? 0 : random.pick(OFFSETS.filter((offset) => offset !== at));
      // Before and after: a call may have been counted by either.
      if (next > at) jumped.push(performance.now());
      await this.clocks.jump(DATABASE, next);
      this.context.log(`PostgreSQL: ${at} s to ${next} s`);
      at = next;
      await sleep(DATABASE_PAUSE_MS);
    }
  }

  /** Promises made now, each with the look whether it was kept once a clock has jumped. */
  private async promise(jump: number): Promise<(() => Promise<void>)[]> {
    return [
      await this.expiry(jump),
      await this.session(jump),
      await this.reservation(jump),
      await this.repeat(jump),
      ...(jump % 4 === 0 ? [await this.throttle(jump)] : []),
    ];
  }

  private async expiry(jump: number): Promise<() => Promise<void>> {
    const ends = await this.cluster.createKey();
    const long = await this.cluster.createKey();
    const endsAt = await this.endSoon(ends.id, SHORT_MS);
    if (endsAt === null || (await this.endSoon(long.id, LONG_MS)) === null) {
      this.holds(`jump ${jump}: an expiry that lies in the future is refused`, false);
      return async () => undefined;
    }
    return async () => {
      for (const { name, client } of this.cluster.replicas) {
        const { body } = await this.verified(client, long.secret);
        this.holds(
          `jump ${jump}: on ${name} a key that is good for minutes is ${String(body.code)}`,
          body.valid === true,
        );
      }
      while ((await this.databaseNow()) <= endsAt + 50) await sleep(50);
      for (const { name, client } of this.cluster.replicas) {
        const { body } = await this.verified(client, ends.secret);
        this.holds(`jump ${jump}: on ${name} an expired key is ${String(body.code)}`, body.code === 'EXPIRED');
      }
    };
  }

  private async session(jump: number): Promise<() => Promise<void>> {
    await Promise.resolve();
    return async () => {
      for (const { name, client } of this.cluster.replicas) {
        const { status } = await patiently(() =>
          client.request('GET', '/api/v1/auth/me', { token: this.cluster.adminToken }),
        );
        this.holds(`jump ${jump}: on ${name} a session is answered ${status}`, status === 200);
      }
    };
  }

  /** It is settled in time, by a replica whose clock is another than that of the one that made it. */
  private async reservation(jump: number): Promise<() => Promise<void>> {
    const key = await this.cluster.createKey({ budgetLimitCents: 10 });
    const { body } = await patiently(() =>
      this.cluster
        .replica(jump)
        .client.post('/verify', { apiKey: this.caller, body: { key: key.secret, reserveCents: 5 } }),
    );
    this.holds(`jump ${jump}: a reservation was ${String(body.code)}`, body.valid === true);
    return async () => {
      const events = [{ id: `r${jump}`, reservationId: body.reservation?.id as string, costCents: 3 }];
      const settled = await patiently(() =>
        this.cluster.replica(jump + 1).client.post('/usage', { apiKey: this.caller, body: { events } }),
      );
      const result = settled.body.results?.[0] as { outcome?: string; late?: boolean } | undefined;
      this.holds(
        `jump ${jump}: a reservation was settled as ${JSON.stringify(settled.body)}`,
        result?.outcome === 'accepted' && result.late !== true,
      );
    };
  }

  /** The same idempotency key gives the same key. */
  private async repeat(jump: number): Promise<() => Promise<void>> {
    const request = {
      token: this.cluster.adminToken,
      body: { name: `repeated ${jump}` },
      headers: { 'idempotency-key': randomUUID() },
    };
    const first = await patiently(() => this.cluster.replica(jump).client.post('/api-keys', request));
    return async () => {
      const again = await patiently(() => this.cluster.replica(jump + 1).client.post('/api-keys', request));
      this.holds(
        `jump ${jump}: a repeat was answered ${again.status}`,
        first.status === 201 && again.body.apiKey?.id === first.body.apiKey?.id,
      );
    };
  }

  /** An address that may not send for a minute is told so still, and not for an hour. */
  private async throttle(jump: number): Promise<() => Promise<void>> {
    const { client } = this.cluster.replica(jump);
    const knock = () => client.post('/api-keys/self-revoke', { body: { key: 'none' } });
    for (let tries = 0; tries < TRIES; tries += 1) await knock();
    const usedUpAt = performance.now();
    return async () => {
      const { status, headers } = await knock();
      if (performance.now() - usedUpAt > WINDOW_MS / 2) return;
      const retryAfter = Number(headers['retry-after']);
      this.holds(
        `jump ${jump}: an address that has used up its minute is answered ${status}, retry after ${retryAfter} s`,
        status === 429 && retryAfter <= RETRY_WITHIN_SECONDS,
      );
    };
  }

  private verified(client: Cluster['replicas'][number]['client'], key: string) {
    return patiently(() => client.post('/verify', { apiKey: this.caller, body: { key } }));
  }

  /** Lets a key end so long from now, or a while later; gives when, or null where any such end is refused. */
  private async endSoon(id: string, aheadMs: number): Promise<number | null> {
    for (let ahead = aheadMs; ahead <= LONGEST_MS; ahead *= 2) {
      const endsAt = (await this.databaseNow()) + ahead;
      const body = { expiresAt: new Date(endsAt).toISOString() };
      const { status } = await patiently(() =>
        this.cluster
          .replica(0)
          .client.request('PATCH', `/api/v1/api-keys/${id}?wait=true`, { token: this.cluster.adminToken, body }),
      );
      if (status === 200) return endsAt;
    }
    return null;
  }

  private async databaseNow(): Promise<number> {
    const [row] = await this.cluster.database.query<{ now: number }>(
      `SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now`,
    );
    return row!.now;
  }

  private holds(otherwise: string, isSo: boolean): void {
    this.figures['promises'] = (this.figures['promises'] ?? 0) + 1;
    if (!isSo) this.violations.push(otherwise);
  }
}
