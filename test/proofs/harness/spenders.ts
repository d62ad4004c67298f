import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpClient, ProofAnswer, ProofRequest } from './http-client.js';
import type { ClusterDatabase, ProofCluster, Replica } from './cluster.js';
import type { Random } from './random.js';

const MICRO_CENTS = 1_000_000;
const MAX_ACTUAL_MICRO_CENTS = 1_000_000;
const POOLED_TTL_SECONDS = 60;
const RETRY_MS = 25;

/** What spenders do beyond reserving and settling. */
export interface SpendingHabits {
  readonly clients: number;
  /** Longest time between a verdict and its report. */
  readonly thinkMs: number;
  /** Part of the reports and releases that is sent again, at once to another replica or later. */
  readonly repeats: number;
  /** Replicas and PostgreSQL break under them: no answer at all is then nothing to wonder about. */
  readonly withFaults: boolean;
}

/**
 * Clients that share one key with a budget: they reserve on one replica, and settle, release or forget on another.
 * They keep their own books of what they have been promised, in micro-cents; those are what the product is held to.
 */
export class Spenders {
  /** Costs whose report was acknowledged. */
  acknowledged = 0;
  /** Upper bound of what is spent or held, as the clients know it. */
  private possible = 0;
  calls = 0;
  admitted = 0;
  refused = 0;
  /** Refusals although, before and after, the budget had room for the call. */
  refusedWithRoom = 0;
  forgotten = 0;
  released = 0;
  undecided = 0;
  late = 0;
  private ended = false;
  readonly violations: string[] = [];

  constructor(
    private readonly cluster: ProofCluster<ClusterDatabase>,
    private readonly key: { readonly id: string; readonly secret: string },
    private readonly callerSecret: string,
    private readonly limit: number,
    private readonly random: Random,
    private readonly habits: SpendingHabits,
  ) {}

  /** Whether spenders may still leave reservations to themselves. */
  mayForget = false;

  /** Makes so many calls, or as many as fit into the time. */
  async spend(calls: number, mostMs: number): Promise<void> {
    const until = performance.now() + mostMs;
    await Promise.all(
      Array.from({ length: this.habits.clients }, async () => {
        while (!this.ended && this.calls < calls && performance.now() < until) {
          this.calls += 1;
          await this.once(this.calls);
        }
      }),
    );
  }

  /** Lets every client finish what it is at. */
  end(): void {
    this.ended = true;
  }

  private async once(number: number): Promise<void> {
    const actual = 1 + this.random.integer(MAX_ACTUAL_MICRO_CENTS);
    const reserve = Math.floor(actual * (1 + this.random.next() * 9));
    const ttlSeconds =
      this.random.next() < 1 / 3 ? POOLED_TTL_SECONDS + 1 + this.random.integer(9) : POOLED_TTL_SECONDS;
    const hadRoom = this.limit - this.possible >= reserve;
    this.possible += reserve;
    const body = { key: this.key.secret, reserveCents: reserve / MICRO_CENTS, reservationTtlSeconds: ttlSeconds };
    const answer = await this.ask(this.anyReplica(), '/verify', body);
    // No answer: it may be reserved or not, and nobody will ever settle it.
    if (answer === null) return void (this.undecided += 1);
    if (answer.status !== 200) {
      this.undecided += 1;
      this.possible -= reserve;
      if (answer.status !== 503)
        this.violations.push(`a verify answered ${answer.status}: ${JSON.stringify(answer.body)}`);
      await sleep(RETRY_MS);
    } else if (answer.body.valid === true) {
      this.admitted += 1;
      await sleep(this.random.integer(this.habits.thinkMs + 1));
      await this.finish(number, answer.body.reservation.id as string, reserve, actual);
    } else {
      this.refused += 1;
      this.possible -= reserve;
      if (answer.body.code !== 'BUDGET_EXCEEDED')
        this.violations.push(`a verify was refused as ${String(answer.body.code)}`);
      else if (hadRoom && this.limit - this.possible >= reserve) this.refusedWithRoom += 1;
    }
  }

  private async finish(number: number, reservationId: string, reserve: number, actual: number): Promise<void> {
    const choice = this.random.next();
    if (this.mayForget && choice < 0.02) this.forgotten += 1;
    else if (choice < 0.12) await this.release(reservationId, reserve);
    else if (choice < 0.16) await this.settle({ id: `e${number}`, reservationId }, reserve, reserve);
    else await this.settle({ id: `e${number}`, reservationId, costCents: actual / MICRO_CENTS }, reserve, actual);
  }

  private async settle(event: Record<string, unknown>, reserve: number, actual: number): Promise<void> {
    const answers = await this.delivered('/usage', { events: [event] });
    for (const { status, body } of answers) {
      const result = body.results?.[0] as { outcome: string; late?: boolean; excessCents?: number } | undefined;
      if (status !== 200 || (result?.outcome !== 'accepted' && result?.outcome !== 'duplicate'))
        this.violations.push(`a report answered ${status}: ${JSON.stringify(body)}`);
      if (result?.excessCents !== undefined)
        this.violations.push(`a report within its reservation exceeded it: ${JSON.stringify(result)}`);
      if (result?.late === true) this.late += 1;
    }
    this.acknowledged += actual;
    this.possible -= reserve - actual;
    if (this.acknowledged > this.limit)
      this.violations.push(`overspent: ${this.acknowledged} of ${this.limit} µ¢ acknowledged`);
  }

  private async release(reservationId: string, reserve: number): Promise<void> {
    for (const { status, body } of await this.delivered('/reservations/release', { reservationId })) {
      if (status !== 200) this.violations.push(`a release answered ${status}: ${JSON.stringify(body)}`);
    }
    this.released += 1;
    this.possible -= reserve;
  }

  /** Sends it until it is acknowledged, some of it more than once; gives every acknowledgement. */
  private async delivered(path: string, body: unknown): Promise<ProofAnswer[]> {
    const first =
      this.random.next() < this.habits.repeats
        ? [this.deliver(path, body), this.deliver(path, body)]
        : [this.deliver(path, body)];
    const answers = await Promise.all(first);
    if (this.random.next() < this.habits.repeats) {
      await sleep(this.random.integer(this.habits.thinkMs + 1));
      answers.push(await this.deliver(path, body));
    }
    return answers;
  }

  private async deliver(path: string, body: unknown): Promise<ProofAnswer> {
    for (;;) {
      const answer = await this.ask(this.anyReplica(), path, body);
      if (answer !== null && answer.status !== 503) return answer;
      await sleep(RETRY_MS);
    }
  }

  private async ask({ client }: { client: HttpClient }, path: string, body: unknown): Promise<ProofAnswer | null> {
    const request: ProofRequest = {
      apiKey: this.callerSecret,
      body,
      timeoutMs: this.habits.withFaults ? 3_000 : 10_000,
    };
    try {
      return await client.post(path, request);
    } catch (error) {
      if (!this.habits.withFaults) this.violations.push(`${path} had no answer: ${String(error)}`);
      return null;
    }
  }

  private anyReplica(): Replica {
    return this.random.pick(this.cluster.replicas);
  }
}
