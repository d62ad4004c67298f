import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment, ExperimentContext, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { movedClock, NO_MOVED_CLOCK } from '../harness/moved-clock.js';
import type { Random } from '../harness/random.js';

const MICRO_CENTS = 1_000_000;
/**
 * The month ends so long after the start: time for servers to get ready, and to be seen in the old month. If it was not
 * enough, the next.
 */
const AHEAD_MS = [40_000, 90_000, 240_000] as const;
/** And is watched for so long. */
const AFTER_MS = 10_000;
const LEAST_BEFORE_MS = 8_000;
const CLIENTS = 16;
/** Between verdict and report: many reports come in the month after. */
const THINK_MS = 4_000;
const SMALL_BUDGET_CENTS = 10;
const NEW_MONTH_WITHIN_MS = 2_000;

/**
 * A month ends under three replicas: the clocks of PostgreSQL and of the replicas are moved to shortly before one does.
 * What was reserved in a month is charged to it, whenever its report comes; and a budget that is used up is whole again
 * on the first, although nothing runs that could make it so.
 */
export const g17: Experiment = {
  id: 'G17',
  guarantee: 'month ends are exact and need no job: each reservation is charged to the month it was reserved in',
  inCi: true,
  fault: { what: 'a report is charged to the month it comes in', patch: 'charges-the-current-month.mjs' },
  run: async (context) => {
    for (const aheadMs of AHEAD_MS) {
      const outcome = await watchEnd(context, aheadMs);
      if (outcome !== null) return outcome;
    }
    return { violations: [], floors: [floor('month ends that were watched', 0, 1)], figures: {} };
  },
};

/** Null: too little of the month was left when the servers were ready. */
async function watchEnd({ random, log, fault }: ExperimentContext, aheadMs: number): Promise<Outcome | null> {
  const endsAt = Date.now() + aheadMs;
  const now = new Date(endsAt);
  const offset = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1) - endsAt;
  const environment = await movedClock(offset);
  if (environment === null) return { skipped: NO_MOVED_CLOCK };
  // As the moved clock has it, which runs by whole seconds ahead.
  const monthEnd = endsAt + (offset - Math.round(offset / 1000) * 1000);
  const months = [-1, 1].map(
    (side) => `${new Date(monthEnd + Math.round(offset / 1000) * 1000 + side * 1000).toISOString().slice(0, 7)}-01`,
  );
  const cluster = await ProofCluster.start(3, environment, fault, [], environment);
  try {
    const caller = await cluster.createKey({ roles: ['gateway'] });
    const large = await cluster.createKey({ budgetLimitCents: 1_000_000, budgetType: 'monthly' });
    const small = await cluster.createKey({ budgetLimitCents: SMALL_BUDGET_CENTS, budgetType: 'monthly' });
    const left = monthEnd - Date.now();
    log(`${Math.round(left / 1000)} s before ${months[1]}`);
    if (left < LEAST_BEFORE_MS) return null;
    const spending = new Spending(cluster, caller.secret, large.secret, monthEnd, random);
    const clients = Promise.all(Array.from({ length: CLIENTS }, () => spending.work()));
    const whole = await untilWhole(cluster, caller.secret, small.secret, monthEnd);
    await clients;
    const violations = [...spending.violations, ...whole.violations];
    const rows = await cluster.database.query<{ period: string; spent: string }>(
      'SELECT period, spent_micro_cents::text AS spent FROM budget_account WHERE key_id = $1',
      [large.id],
    );
    const events = await cluster.database.query<{ month: string; cost: string }>(
      'SELECT month::text AS month, sum(cost_micro_cents)::text AS cost FROM usage_event WHERE key_id = $1 GROUP BY 1',
      [large.id],
    );
    const spentIn = (period: string) => Number(rows.find((row) => row.period === period)?.spent ?? 0);
    const { before, after, either, late } = spending;
    for (const [index, certain] of [before, after].entries()) {
      const found = spentIn(months[index]!);
      if (found < certain || found > certain + either)
        violations.push(
          `${months[index]}: ${found} µ¢ are charged, ${certain} to ${certain + either} were reserved in it`,
        );
      const told = Number(events.find(({ month }) => month.slice(0, 10) === months[index])?.cost ?? 0);
      if (told !== found) violations.push(`${months[index]}: ${found} µ¢ are charged, its events come to ${told}`);
    }
    if (
      spentIn(months[0]!) + spentIn(months[1]!) !== before + after + either ||
      spentIn('total') !== before + after + either
    ) {
      violations.push(
        `${before + after + either} µ¢ were acknowledged, ${spentIn(months[0]!)} + ${spentIn(months[1]!)} are charged, ${spentIn('total')} in all`,
      );
    }
    violations.push(...(await bookDifferences(cluster)));
    log(
      `${before} µ¢ before, ${after} after, ${either} at the very end; ${late} reports in the month after; whole again after ${Math.round(whole.afterMs)} ms`,
    );
    return {
      violations,
      floors: [
        floor('micro-cents reserved before the month ended', before, 1),
        floor('micro-cents reserved after it', after, 1),
        // Not one of each client: a verdict may be on its way while the month ends.
        floor('reports in the month after', late, CLIENTS / 2),
        floor('calls refused while the small budget was used up', whole.refused, 20),
      ],
      figures: {
        months: months.join(' '),
        beforeMicroCents: before,
        afterMicroCents: after,
        eitherMicroCents: either,
        reportsInTheMonthAfter: late,
        wholeAgainAfterMs: Math.round(whole.afterMs),
      },
    };
  } finally {
    await cluster.stop();
  }
}

/** Reserves in one month, and reports perhaps in the next. */
class Spending {
  readonly violations: string[] = [];
  /** Micro-cents by the month their verdict was given in; `either`: the month ended while it was on its way. */
  before = 0;
  after = 0;
  either = 0;
  /** Reports that came in another month than their reservation. */
  late = 0;
  private number = 0;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly callerSecret: string,
    private readonly secret: string,
    private readonly monthEnd: number,
    private readonly random: Random,
  ) {}

  async work(): Promise<void> {
    while (Date.now() < this.monthEnd + AFTER_MS) await this.once();
  }

  private async once(): Promise<void> {
    const { random } = this;
    const cost = 1 + random.integer(MICRO_CENTS);
    const client = () => random.pick(this.cluster.replicas).client;
    const start = Date.now();
    const verdict = await client().post('/verify', {
      apiKey: this.callerSecret,
      body: { key: this.secret, reserveCents: 1 },
    });
    const end = Date.now();
    // A month that ends while a lease is asked for is asked for again by the client.
    if (verdict.status === 503) return;
    if (verdict.body.valid !== true)
      return void this.violations.push(`a verify answered ${verdict.status} ${String(verdict.body.code)}`);
    await sleep(random.integer(THINK_MS));
    this.number += 1;
    const event = {
      id: `m${this.number}`,
      reservationId: verdict.body.reservation.id as string,
      costCents: cost / MICRO_CENTS,
    };
    let tries = 0;
    const { status, body } = await patiently(() => {
      tries += 1;
      return client().post('/usage', { apiKey: this.callerSecret, body: { events: [event] } });
    });
    const result = body.results?.[0] as { outcome: string; late?: boolean } | undefined;
    // What a 503 left open may have been counted: the report sent again is then a duplicate of the first.
    const isCounted = result?.outcome === 'accepted' || (result?.outcome === 'duplicate' && tries > 1);
    if (status !== 200 || !isCounted || result?.late === true)
      return void this.violations.push(`a report answered ${status}: ${JSON.stringify(body)}`);
    // Milliseconds are cut off on both sides.
    if (end < this.monthEnd - 1) this.before += cost;
    else if (start > this.monthEnd + 1) this.after += cost;
    else this.either += cost;
    if (end < this.monthEnd && Date.now() > this.monthEnd) this.late += 1;
  }
}

/** Uses a budget up, and asks every replica until there is a new one. */
async function untilWhole(
  cluster: ProofCluster,
  callerSecret: string,
  secret: string,
  monthEnd: number,
): Promise<{ violations: string[]; afterMs: number; refused: number }> {
  const violations: string[] = [];
  const reserve = async (replica: number, cents: number) => {
    const start = Date.now();
    const answer = await cluster.replica(replica).client.post('/verify', {
      apiKey: callerSecret,
      body: { key: secret, reserveCents: cents, reservationTtlSeconds: 300 },
    });
    return { ...answer, start, end: Date.now(), code: String(answer.body.code) };
  };
  const first = await reserve(0, SMALL_BUDGET_CENTS);
  if (first.code !== 'VALID') violations.push(`a whole budget: ${first.code}`);
  let refusedBefore = 0;
  let got: number | null = null;
  for (let turn = 0; got === null && Date.now() < monthEnd + AFTER_MS; turn += 1) {
    const { start, end, status, code } = await reserve(turn, SMALL_BUDGET_CENTS);
    if (code === 'VALID') {
      got = end;
      if (end < monthEnd - 1)
        violations.push(`a budget that was used up was given again ${monthEnd - end} ms before the month's end`);
    } else if (status === 200 && code === 'BUDGET_EXCEEDED') {
      if (end < monthEnd) refusedBefore += 1;
    } else if (status !== 503) violations.push(`a verify answered ${status} ${code} at ${start - monthEnd} ms`);
    await sleep(50);
  }
  const afterMs = got === null ? Number.POSITIVE_INFINITY : got - monthEnd;
  if (afterMs > NEW_MONTH_WITHIN_MS)
    violations.push(`the new month's budget was there ${Math.round(afterMs)} ms after its beginning`);
  const more = await Promise.all([0, 1, 2].map((replica) => patiently(() => reserve(replica, 1))));
  for (const { body } of more)
    if (body.code !== 'BUDGET_EXCEEDED')
      violations.push(`the new month's budget was given twice: ${String(body.code)}`);
  return { violations, afterMs, refused: refusedBefore };
}
