import { setTimeout as sleep } from 'node:timers/promises';
import { limitAccountId } from '../../../src/quotas/limits/account-id.js';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment, ExperimentContext, Findings, Floor } from '../harness/experiment.js';
import { floor, floorsOfKinds } from '../harness/floors.js';
import { NO_MOVED_CLOCK, SteppedClock } from '../harness/moved-clock.js';
import { nameByLocalDate, type OraclePeriod, periodOf } from '../harness/period-oracle.js';
import { type PeriodQuestion, periodQuestions, WATCHED_ENDS, type WatchedEnd } from '../harness/period-questions.js';
import type { Random } from '../harness/random.js';

const QUESTIONS = { ci: 400, full: 20_000 } as const;
const RULES = ['day', 'week', 'month'] as const;
const REPLICAS = 2;
/** The servers start so long before the end that is watched, then their clock steps to so long before it. */
const START_BEFORE_SECONDS = 180;
/** If it was not enough to be seen in the old period, the next. */
const STEP_BEFORE_SECONDS = [4, 15, 40] as const;
const LEAST_BEFORE_MS = 2_000;
const READY_WITHIN_MS = 30_000;
const MIDNIGHT_WATCHED_MS = 1_000;
/** A slow machine watches for longer. */
const LEAST_AT_MIDNIGHT = 5;
const AFTER_MS = 2_500;
const NEW_PERIOD_WITHIN_MS = 2_000;
const CLIENTS = 8;
/** Between verdict and report: many reports come in the period after. */
const THINK_MS = 2_000;
const SMALL_CENTS = 10;
const MICRO_CENTS = 1_000_000;

/** Holds of reservations are moved into the period that runs, as if each had been made in it. */
const CHARGES_THE_RUNNING_PERIOD = `DO $fault$
DECLARE v_before text := pg_get_functiondef('limit_accounts_prepare'::regproc);
DECLARE v_after text := replace(v_before, 'BEGIN
  PERFORM limit_accounts_open(h_account', 'BEGIN
  SELECT array_agg(coalesce(p.name, h.period) ORDER BY h.n),
      array_agg(CASE WHEN coalesce(p.name, h.period) = h.period THEN h.lease END ORDER BY h.n),
      array_agg(a.limit_id ORDER BY h.n), array_agg(a.member_id ORDER BY h.n)
    INTO h_period, h_lease, h_limit, h_member
    FROM unnest(h_account, h_period, h_lease) WITH ORDINALITY AS h(account, period, lease, n)
    LEFT JOIN LATERAL (SELECT b.limit_id, b.member_id FROM budget_account b WHERE b.key_id = h.account LIMIT 1) a ON true
    LEFT JOIN quota_limit l ON l.id = a.limit_id
    LEFT JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) p ON l.id IS NOT NULL;
  PERFORM limit_accounts_open(h_account');
BEGIN
  IF v_after = v_before THEN RAISE 'limit_accounts_prepare does not say what this replaces'; END IF;
  EXECUTE v_after;
END $fault$`;

/**
 * Periods that PostgreSQL computes are compared with an oracle. Then the clocks of PostgreSQL and of the replicas are
 * moved to shortly before a period of a limit ends by its zone, and calls go on until it is over. What was reserved in
 * a period is charged to it, whenever its report comes. A limit that is used up is whole again at the end, and not when
 * the local date changes for the first time.
 */
export const g42: Experiment = {
  id: 'G42',
  guarantee: 'a period ends where its time zone says, and a reservation is charged to the period it was made in',
  inCi: true,
  fault: { what: 'a report is charged to the period of its limit it comes in', sql: CHARGES_THE_RUNNING_PERIOD },
  run: async (context) => {
    const { size, random, log } = context;
    const ends = size === 'full' ? WATCHED_ENDS : [random.pick(WATCHED_ENDS)];
    const found: Findings[] = [];
    for (const [index, end] of ends.entries()) {
      const count = index === 0 ? QUESTIONS[size] : 0;
      const findings = await watch(context, end, count);
      if (findings === null) return { skipped: NO_MOVED_CLOCK };
      log(`${end.per} of ${end.zone}: ${JSON.stringify(findings.figures)}`);
      found.push(findings);
    }
    const [first, ...others] = found;
    return {
      violations: found.flatMap(({ violations }) => violations).slice(0, 20),
      floors: [...first!.floors, ...others.flatMap(({ floors }) => floors)],
      figures: { ends: ends.map(({ per, zone }) => `${per} ${zone}`).join(', '), ...first!.figures },
    };
  },
};

/** Null: the clock cannot be moved here. */
async function watch(context: ExperimentContext, end: WatchedEnd, questions: number): Promise<Findings | null> {
  for (const stepSeconds of STEP_BEFORE_SECONDS) {
    const clock = await SteppedClock.start();
    if (clock === null) return null;
    await clock.stepTo(Math.round((end.at - Date.now()) / 1_000) - START_BEFORE_SECONDS);
    const cluster = await ProofCluster.start(REPLICAS, { ...clock.environment }, context.fault, [], clock.environment);
    try {
      const trial = await Trial.prepare(cluster, clock, end, context.random);
      const isSeen = await trial.run(stepSeconds);
      if (!isSeen) continue;
      const asked = await askPeriods(cluster, questions, context.random);
      const seen = await trial.findings();
      return {
        violations: [...asked.violations, ...seen.violations, ...(await bookDifferences(cluster))],
        floors: [...seen.floors, ...asked.floors],
        figures: { ...asked.figures, ...seen.figures },
      };
    } finally {
      await cluster.stop();
      await clock.remove();
    }
  }
  return { violations: [], floors: [floor(`ends of ${end.zone} that were watched`, 0, 1)], figures: {} };
}

/** Compares the periods of so many questions with the oracle. */
async function askPeriods(
  cluster: ProofCluster,
  count: number,
  random: Random,
): Promise<{ violations: string[]; floors: Floor[]; figures: Record<string, number> }> {
  if (count === 0) return { violations: [], floors: [], figures: {} };
  const known = await cluster.database.query<{ name: string }>('SELECT name FROM pg_timezone_names');
  const names = new Set(known.map(({ name }) => name));
  const zones = Intl.supportedValuesOf('timeZone').filter((zone) => names.has(zone));
  const questions = periodQuestions(count, zones, random);
  const answers = await cluster.database.query<{ name: string; start: string; end: string }>(
    `SELECT p.name, quota_ms(p.starts_at)::text AS start, quota_ms(p.ends_at)::text AS "end"
       FROM unnest($1::float8[], $2::text[], $3::text[]) WITH ORDINALITY AS q(ms, per, zone, n),
         LATERAL limit_period_at(to_timestamp(q.ms / 1000), q.per, q.zone) p ORDER BY q.n`,
    [questions.map(({ at }) => at), questions.map(({ per }) => per), questions.map(({ zone }) => zone)],
  );
  const expected = questions.map(({ per, at, zone }) => periodOf(per, at, zone));
  const violations = questions.flatMap((question, index) => {
    const { name, start, end } = answers[index]!;
    const [is, shouldBe] = [told({ name, startMs: Number(start), endMs: Number(end) }), told(expected[index]!)];
    return is === shouldBe ? [] : [`${nameOf(question)} is in ${is}, should be in ${shouldBe}`];
  });
  const byDate = questions.filter(
    ({ per, at, zone }, index) => nameByLocalDate(per, at, zone) !== expected[index]!.name,
  );
  const rules = new Map(RULES.map((rule) => [rule, questions.filter(({ per }) => per === rule).length]));
  return {
    violations,
    floors: [
      floor('time zones asked for', new Set(questions.map(({ zone }) => zone)).size, count / 10),
      floor('instants of which the local date tells another period', byDate.length, 3),
      ...floorsOfKinds('instants asked for by', RULES, rules, count / 20),
    ],
    figures: { instants: questions.length, localDateTellsAnother: byDate.length },
  };
}

function told({ name, startMs, endMs }: OraclePeriod): string {
  return `${name}, ${new Date(startMs).toISOString()} to ${new Date(endMs).toISOString()}`;
}

function nameOf({ at, per, zone }: PeriodQuestion): string {
  return `${new Date(at).toISOString()} by ${per} of ${zone}`;
}

/** The end of one period, live. Its instants are those of the machine's clock, unless they are called `at`. */
class Trial {
  private readonly violations: string[] = [];
  /** Micro-cents by the period in which the verdict was given; `either`: it ended while the call was under way. */
  private before = 0;
  private after = 0;
  private either = 0;
  /** Reports that came in another period than their reservation. */
  private late = 0;
  private refusedAtMidnight = 0;
  private refusedBefore = 0;
  private wholeAfterMs = Number.POSITIVE_INFINITY;
  private number = 0;

  private constructor(
    private readonly cluster: ProofCluster,
    private readonly clock: SteppedClock,
    private readonly end: WatchedEnd,
    private readonly random: Random,
    private readonly callerSecret: string,
    /** Of keys with a limit that nothing uses up, with one that is used up, and with none. */
    private readonly secrets: { readonly large: string; readonly small: string; readonly free: string },
    private readonly largeLimit: string,
  ) {}

  static async prepare(cluster: ProofCluster, clock: SteppedClock, end: WatchedEnd, random: Random): Promise<Trial> {
    const caller = await cluster.createKey({ roles: ['gateway'] });
    const [large, small, free] = [await cluster.createKey(), await cluster.createKey(), await cluster.createKey()];
    const limit = async (keyId: string, amountCents: number) => {
      const target = { kind: 'key', id: keyId };
      // A budget of a key by month of UTC is a field of the key; a limit with models is not.
      const body = { name: `On ${keyId}`, amountCents, per: end.per, timeZone: end.zone, models: ['*'], target };
      const { client } = cluster.replicas[0]!;
      const answer = await patiently(() => client.post('/limits?wait=true', { token: cluster.adminToken, body }));
      if (answer.status !== 201) throw new Error(`A limit answered ${answer.status}: ${JSON.stringify(answer.body)}`);
      return answer.body.id as string;
    };
    await limit(small.id, SMALL_CENTS);
    const largeLimit = await limit(large.id, 1_000_000);
    const secrets = { large: large.secret, small: small.secret, free: free.secret };
    return new Trial(cluster, clock, end, random, caller.secret, secrets, largeLimit);
  }

  /** False: too little of the old period was left when the servers were ready. */
  async run(stepSeconds: number): Promise<boolean> {
    const { firstMidnight, at } = this.end;
    if (firstMidnight !== undefined) {
      await this.stepTo(firstMidnight - MIDNIGHT_WATCHED_MS);
      await this.useUp();
      await this.watchMidnight(firstMidnight);
    }
    await this.stepTo(at - stepSeconds * 1_000);
    if (firstMidnight === undefined) await this.useUp();
    if (this.endsAt - Date.now() < LEAST_BEFORE_MS) return false;
    const clients = Promise.all(Array.from({ length: CLIENTS }, () => this.work()));
    await this.untilWhole();
    await clients;
    return true;
  }

  async findings(): Promise<Findings> {
    const { before, after, either, late, refusedBefore, refusedAtMidnight, end } = this;
    const [old, next] = [periodOf(end.per, end.at - 1, end.zone), periodOf(end.per, end.at, end.zone)];
    const rows = await this.cluster.database.query<{ period: string; spent: string; ends: string }>(
      `SELECT period, spent_micro_cents::text AS spent, quota_ms(ends_at)::text AS ends FROM budget_account WHERE key_id = $1`,
      [limitAccountId(this.largeLimit, null)],
    );
    for (const { name, endMs } of [old, next]) {
      const row = rows.find(({ period }) => period === name);
      if (Number(row?.ends) !== endMs)
        this.violations.push(`the account of ${name} ends at ${row?.ends}, not ${endMs}`);
    }
    const spentIn = (name: string) => Number(rows.find(({ period }) => period === name)?.spent ?? 0);
    for (const [{ name }, certain] of [
      [old, before],
      [next, after],
    ] as const) {
      const spent = spentIn(name);
      if (spent < certain || spent > certain + either)
        this.violations.push(`${name}: ${spent} µ¢ are charged, ${certain} to ${certain + either} were reserved in it`);
    }
    const all = rows.reduce((sum, { spent }) => sum + Number(spent), 0);
    if (all !== before + after + either)
      this.violations.push(`${before + after + either} µ¢ were acknowledged, ${all} are charged`);
    if (this.wholeAfterMs > NEW_PERIOD_WITHIN_MS)
      this.violations.push(`a limit that was used up was whole ${Math.round(this.wholeAfterMs)} ms after its period`);
    return {
      violations: this.violations,
      floors: [
        floor(`micro-cents reserved before ${end.zone} ended`, before, 1),
        floor(`micro-cents reserved after ${end.zone} ended`, after, 1),
        floor(`reports in the period after, ${end.zone}`, late, 2),
        floor(`calls refused while the limit of ${end.zone} was used up`, refusedBefore, 5),
        ...(end.firstMidnight === undefined
          ? []
          : [floor(`calls refused after the first midnight of ${end.zone}`, refusedAtMidnight, LEAST_AT_MIDNIGHT)]),
      ],
      figures: {
        ...{ beforeMicroCents: before, afterMicroCents: after, eitherMicroCents: either, lateReports: late },
        ...{ refusedBefore, refusedAtMidnight, wholeAfterMs: Math.round(this.wholeAfterMs) },
      },
    };
  }

  /** When the period ends, by the machine's clock. */
  private get endsAt(): number {
    return this.end.at - this.clock.aheadMs;
  }

  /** Sets the clock of PostgreSQL and the replicas on, and waits until they answer as ever. */
  private async stepTo(at: number): Promise<void> {
    await this.clock.stepTo(Math.round((at - Date.now()) / 1_000));
    const until = performance.now() + READY_WITHIN_MS;
    for (let replica = 0; replica < REPLICAS; replica += 1) {
      for (;;) {
        const { body } = await this.verify(replica, this.secrets.free, {});
        if (body.valid === true && body.degraded === false) break;
        if (performance.now() > until)
          throw new Error(`Replica ${replica} does not verify after the clock has stepped.`);
        await sleep(20);
      }
    }
  }

  /** Spends all that the small limit has. */
  private async useUp(): Promise<void> {
    const { body } = await patiently(() => this.verify(0, this.secrets.small, { reserveCents: SMALL_CENTS }));
    if (body.valid !== true) return void this.violations.push(`a whole limit answered ${String(body.code)}`);
    await this.report(body.reservation.id as string, SMALL_CENTS * MICRO_CENTS);
  }

  /** The local date changes, and changes back: the period goes on. */
  private async watchMidnight(firstMidnight: number): Promise<void> {
    const at = firstMidnight - this.clock.aheadMs;
    const isSeen = () => Date.now() >= at + MIDNIGHT_WATCHED_MS && this.refusedAtMidnight >= LEAST_AT_MIDNIGHT;
    for (let turn = 0; !isSeen() && Date.now() < at + READY_WITHIN_MS; turn += 1) {
      const isAfter = Date.now() > at;
      const { status, body } = await this.verify(turn, this.secrets.small, { reserveCents: 1 });
      if (body.valid === true) this.violations.push('a limit that was used up was whole at the first of two midnights');
      else if (status === 200 && isAfter) this.refusedAtMidnight += 1;
      await sleep(50);
    }
  }

  /** Reserves in one period, and reports perhaps in the next. */
  private async work(): Promise<void> {
    while (Date.now() < this.endsAt + AFTER_MS) await this.once();
  }

  private async once(): Promise<void> {
    const cost = 1 + this.random.integer(MICRO_CENTS);
    const began = Date.now();
    const verdict = await this.verify(this.random.integer(REPLICAS), this.secrets.large, { reserveCents: 1 });
    const ended = Date.now();
    // A period that ends while a lease is asked for is asked for again by the client.
    if (verdict.status === 503) return void (await sleep(20));
    if (verdict.body.valid !== true)
      return void this.violations.push(`a verify answered ${verdict.status} ${String(verdict.body.code)}`);
    await sleep(this.random.integer(THINK_MS));
    await this.report(verdict.body.reservation.id as string, cost);
    // Milliseconds are cut off on both sides.
    if (ended < this.endsAt - 1) this.before += cost;
    else if (began > this.endsAt + 1) this.after += cost;
    else this.either += cost;
    if (ended < this.endsAt && Date.now() > this.endsAt) this.late += 1;
  }

  /** Asks every replica for all of the limit that is used up, until there is a new period. */
  private async untilWhole(): Promise<void> {
    const reserve = { reserveCents: SMALL_CENTS, reservationTtlSeconds: 300 };
    for (let turn = 0; Date.now() < this.endsAt + AFTER_MS; turn += 1) {
      const { status, body } = await this.verify(turn, this.secrets.small, reserve);
      const sinceMs = Date.now() - this.endsAt;
      if (body.valid === true) {
        this.wholeAfterMs = sinceMs;
        if (sinceMs < -1) this.violations.push(`a limit was whole ${-sinceMs} ms before its period was over`);
        break;
      }
      if (status === 200 && body.code !== 'BUDGET_EXCEEDED')
        this.violations.push(`a limit that is used up answered ${String(body.code)}`);
      if (status === 200 && sinceMs < 0) this.refusedBefore += 1;
      await sleep(50);
    }
    for (let replica = 0; replica < REPLICAS; replica += 1) {
      const { body } = await patiently(() => this.verify(replica, this.secrets.small, { reserveCents: 1 }));
      if (body.code !== 'BUDGET_EXCEEDED') this.violations.push(`the new period was given twice: ${String(body.code)}`);
    }
  }

  private async report(reservationId: string, microCents: number): Promise<void> {
    this.number += 1;
    const event = { id: `p${this.number}`, reservationId, costCents: microCents / MICRO_CENTS };
    let tries = 0;
    const { status, body } = await patiently(() => {
      tries += 1;
      const { client } = this.random.pick(this.cluster.replicas);
      return client.post('/usage', { apiKey: this.callerSecret, body: { events: [event] } });
    });
    const result = body.results?.[0] as { outcome: string; late?: boolean } | undefined;
    // What a 503 left open may have been counted: the report sent again is then a duplicate of the first.
    const isCounted = result?.outcome === 'accepted' || (result?.outcome === 'duplicate' && tries > 1);
    if (status !== 200 || !isCounted || result?.late === true)
      this.violations.push(`a report answered ${status}: ${JSON.stringify(body)}`);
  }

  private verify(replica: number, key: string, fields: object) {
    const { client } = this.cluster.replica(replica);
    return client.post('/verify', { apiKey: this.callerSecret, body: { key, ...fields } });
  }
}
