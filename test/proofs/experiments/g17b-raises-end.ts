import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

const MICRO_CENTS = 1_000_000;
const CLIENTS = 8;
const THINK_MS = 60;
const SIZES = { ci: { runMs: 8_000, afterMs: 6_000 }, full: { runMs: 60_000, afterMs: 30_000 } } as const;
/** The longest hold of a lease, and the janitor's time with room for a busy machine. */
const HOLD_MS = 130_000;
/** Instants of an answer are cut to milliseconds on both sides. */
const CUT_MS = 1;

/**
 * Raises end under three replicas that call all the time, with room left that they hold leases of: `spent` has used up
 * its budget before, and nothing may be admitted once the raise is over; `fresh` has not, and must stop exactly at its
 * limit.
 */
export const g17b: Experiment = {
  id: 'G17b',
  guarantee: 'a raise of a budget ends by the clock: nothing is admitted from it afterwards, and no job ends it',
  inCi: true,
  fault: { what: 'a lease from a raise admits for as long as any other', patch: 'admits-past-a-raise.mjs' },
  run: async ({ size, random, log, fault }) => {
    const { runMs, afterMs } = SIZES[size];
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const spent = new Spending(cluster, caller.secret, await cluster.createKey({ budgetLimitCents: 5 }), random);
      const fresh = new Spending(cluster, caller.secret, await cluster.createKey({ budgetLimitCents: 1_000 }), random);
      await spent.use(5);
      const until = Date.now() + runMs;
      for (const { key } of [spent, fresh]) {
        const body = { budgetRaise: { cents: 100_000, until: new Date(until).toISOString(), reason: 'A proof' } };
        const { status } = await cluster
          .replica(0)
          .client.request('PATCH', `/api/v1/api-keys/${key.id}`, { token: cluster.adminToken, body });
        if (status !== 200) throw new Error(`A raise answered ${status}.`);
      }
      const end = until + afterMs;
      const work = (one: Spending) => Array.from({ length: CLIENTS }, () => one.work(until, end));
      await Promise.all([...work(spent), ...work(fresh)]);
      await Promise.all([spent.untilNothingIsHeld(), fresh.untilNothingIsHeld()]);
      // What is left of the limit, to the last micro-cent and not one more.
      const left = Math.max(0, 1_000 * MICRO_CENTS - fresh.certain);
      const drained = [await fresh.ask(left + 1), ...(left > 0 ? [await fresh.ask(left)] : []), await fresh.ask(1)];
      const expected = ['BUDGET_EXCEEDED', ...(left > 0 ? ['VALID'] : []), 'BUDGET_EXCEEDED'];
      const violations = [...spent.violations, ...fresh.violations];
      if (drained.join() !== expected.join())
        violations.push(`the last ${left} µ¢ of the limit: ${drained.join()}, should be ${expected.join()}`);
      if (spent.admittedAfter > 0)
        violations.push(`${spent.admittedAfter} calls were admitted once the raise was over and the budget used up`);
      for (const [name, one] of [
        ['spent', spent],
        ['fresh', fresh],
      ] as const) {
        const charged = await one.charged();
        if (charged !== one.certain)
          violations.push(`${name}: ${charged} µ¢ are charged, ${one.certain} were reported`);
      }
      violations.push(...(await bookDifferences(cluster)));
      log(
        `${spent.during} and ${fresh.during} admitted while raised, ${spent.refused} and ${fresh.refused} refused after it`,
      );
      return {
        violations,
        floors: [
          floor('calls admitted from the raise', spent.during, 20),
          floor('calls refused after it', spent.refused, 20),
          floor('calls that settled after it what they had reserved before', spent.lateReports + fresh.lateReports, 1),
          floor('calls admitted after it within the limit', fresh.admittedAfter, 5),
        ],
        figures: {
          admittedWhileRaised: spent.during + fresh.during,
          refusedAfter: spent.refused,
          admittedAfterWithinLimit: fresh.admittedAfter,
          settledAfter: spent.lateReports + fresh.lateReports,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** What is spent of one key, by callers that reserve and report. */
class Spending {
  readonly violations: string[] = [];
  /** Micro-cents that were reported. */
  certain = 0;
  during = 0;
  admittedAfter = 0;
  refused = 0;
  lateReports = 0;
  private number = 0;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly callerSecret: string,
    readonly key: { id: string; secret: string },
    private readonly random: Random,
  ) {}

  async work(until: number, end: number): Promise<void> {
    while (Date.now() < end) {
      await this.once(until);
      await sleep(this.random.integer(THINK_MS));
    }
  }

  /** Spends so many cents, reserved and reported. */
  async use(cents: number): Promise<void> {
    const { body } = await this.verify(cents * MICRO_CENTS);
    if (body.valid !== true) throw new Error(`A whole budget answered ${String(body.code)}.`);
    await this.report(body.reservation.id as string, cents * MICRO_CENTS);
  }

  /** Reserves without a report, and gives the code. */
  async ask(microCents: number): Promise<string> {
    const { body } = await patiently(() => this.verify(microCents));
    return String(body.code);
  }

  /** Replicas hand back what they have in hand for the next calls. */
  async untilNothingIsHeld(): Promise<void> {
    const since = Date.now();
    for (;;) {
      const [row] = await this.cluster.database.query<{ leased: string }>(
        `SELECT leased_micro_cents::text AS leased FROM budget_account WHERE key_id = $1 AND period = 'total'`,
        [this.key.id],
      );
      if (row!.leased === '0') return;
      if (Date.now() - since > HOLD_MS) return void this.violations.push(`${row!.leased} µ¢ are held after every hold`);
      await sleep(200);
    }
  }

  /** Micro-cents in the account. */
  async charged(): Promise<number> {
    const [row] = await this.cluster.database.query<{ spent: string }>(
      `SELECT spent_micro_cents::text AS spent FROM budget_account WHERE key_id = $1 AND period = 'total'`,
      [this.key.id],
    );
    return Number(row!.spent);
  }

  private async once(until: number): Promise<void> {
    // Little enough that the limit is not reached by what is spent in the raise, and that leases have room for many
    // calls.
    const amount = 1 + this.random.integer(MICRO_CENTS / 2);
    const start = Date.now();
    const { status, body } = await this.verify(amount);
    if (status === 503) return;
    if (body.code === 'BUDGET_EXCEEDED') {
      if (start > until + CUT_MS) this.refused += 1;
      return;
    }
    if (body.valid !== true) return void this.violations.push(`a verify answered ${status} ${String(body.code)}`);
    if (start > until + CUT_MS) this.admittedAfter += 1;
    else this.during += 1;
    await sleep(this.random.integer(4 * THINK_MS));
    if (start < until && Date.now() > until) this.lateReports += 1;
    await this.report(body.reservation.id as string, amount);
  }

  private verify(microCents: number) {
    const { client } = this.random.pick(this.cluster.replicas);
    const body = { key: this.key.secret, reserveCents: microCents / MICRO_CENTS };
    return client.post('/verify', { apiKey: this.callerSecret, body });
  }

  private async report(reservationId: string, microCents: number): Promise<void> {
    this.number += 1;
    const event = { id: `r${this.number}`, reservationId, costCents: microCents / MICRO_CENTS };
    const { status, body } = await patiently(() =>
      this.random
        .pick(this.cluster.replicas)
        .client.post('/usage', { apiKey: this.callerSecret, body: { events: [event] } }),
    );
    const result = body.results?.[0] as { outcome: string; late?: boolean } | undefined;
    const isCounted = result?.outcome === 'accepted' || result?.outcome === 'duplicate';
    if (status !== 200 || !isCounted || result?.late === true)
      this.violations.push(`a report answered ${status}: ${JSON.stringify(body)}`);
    this.certain += microCents;
  }
}
