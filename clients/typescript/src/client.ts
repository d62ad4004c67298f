import { Api } from './api.js';
import type { ApiBody, ApiInput, ApiMethod, ApiPath, ApiResult, CallOptions } from './api.js';
import { ApiKeys } from './api-keys.js';
import { CircuitBreaker, type CircuitBreakerOptions } from './circuit-breaker.js';
import type {
  ReleasedReservation,
  RenewedReservation,
  Reservation,
  ReserveVerdict,
  SentUsageEvent,
  Settlement,
  UsageEvent,
  UsageResult,
  Verdict,
  VerifyQuestion,
} from './contract.js';
import { type LatchkeyError, LatchkeyProblem, LatchkeyUnreachable } from './errors.js';
import {
  asksForAmounts,
  type CallHold,
  type Hold,
  HeldCalls,
  type HoldRequest,
  idOf,
  type ReserveQuestion,
  settlementOf,
} from './held-calls.js';
import { type Runtime, systemRuntime } from './runtime.js';
import { type ApiAnswer, type AttemptWatch, isOutage, Transport } from './transport.js';
import { type UsageOptions, UsageReporter } from './usage-reporter.js';
import { VerifyBatcher } from './verify-batcher.js';

/** What becomes of a question that Latchkey did not decide: refused, or let through. */
export type FailurePolicy = 'closed' | 'open';

/** How to reach Latchkey, and what to do when that fails. */
export interface LatchkeyClientOptions {
  /** Such as `https://keys.example.com`; `/api/v1` is added. */
  baseUrl: string;
  /** The service's own key (or a session's token); a function is asked for it before each request. */
  key: string | (() => string | Promise<string>);
  /**
   * `closed`, the default, refuses what could not be decided. `open` lets it through with `degraded: true` and without
   * a `keyId`: a choice for services where an outage of Latchkey costs more than unlimited use by anybody, revoked
   * keys included. What reserves money is refused under both.
   */
  failurePolicy?: FailurePolicy;
  /** How long a verify may take with all its attempts; default 2000. */
  verifyTimeoutMs?: number;
  /** The same for everything else; default 10 000. */
  timeoutMs?: number;
  /** Attempts of a request at most, where it may be repeated; default 3. */
  attempts?: number;
  /**
   * Whether `verify` calls of one turn of the event loop share a request; default true. Their verdicts then come
   * together, as soon as the slowest is decided.
   */
  batchVerifies?: boolean;
  /** When to stop asking a server that does not answer. */
  circuitBreaker?: CircuitBreakerOptions;
  /** How usage is collected and sent. */
  usage?: UsageOptions;
  /**
   * How long `withReservation` waits, after its work, for the answer to the settlement, in milliseconds; default 1000.
   * 0: not at all, so that a refusal is told to `usage.onProblem` only.
   */
  settlementWaitMs?: number;
  /** Told of every question that Latchkey did not decide, and why. */
  onUnavailable?: (error: LatchkeyError) => void;
  /** Instead of the global `fetch`. */
  fetch?: typeof fetch;
}

/** A verdict that is older must not be acted upon: the promise about budgets ends there. */
const MAX_VERDICT_AGE_MS = 5_000;
const MAX_KEY_CHARACTERS = 512;
const CLOSE_TIMEOUT_MS = 10_000;

/** Asks Latchkey about keys, holds and settles money, reports usage, and manages keys. One per process is enough. */
export class LatchkeyClient {
  /** Keys, as their owners and admins manage them. */
  readonly keys: ApiKeys;
  readonly #transport: Transport;
  readonly #api: Api;
  readonly #breaker: CircuitBreaker;
  readonly #reporter: UsageReporter;
  readonly #runtime: Runtime;
  readonly #policy: FailurePolicy;
  readonly #verifyTimeoutMs: number;
  readonly #timeoutMs: number;
  readonly #onUnavailable: (error: LatchkeyError) => void;
  readonly #heldCalls: HeldCalls;
  /** null: each question is asked by itself. */
  readonly #batcher: VerifyBatcher | null;
  readonly #askedAt = new WeakMap<Verdict, ApiAnswer['sentAt']>();
  /** Releases that nobody waits for but `close`. */
  readonly #releases = new Set<Promise<unknown>>();

  /** @throws TypeError for a `baseUrl` or `key` that is none. */
  constructor(options: LatchkeyClientOptions) {
    this.#runtime = systemRuntime;
    this.#policy = requirePolicy(options.failurePolicy ?? 'closed');
    this.#verifyTimeoutMs = options.verifyTimeoutMs ?? 2_000;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#onUnavailable = options.onUnavailable ?? (() => undefined);
    this.#transport = new Transport({
      baseUrl: options.baseUrl,
      key: options.key,
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      runtime: this.#runtime,
      attempts: options.attempts ?? 3,
    });
    this.#api = new Api(this.#transport, this.#timeoutMs);
    this.keys = new ApiKeys(this.#api);
    this.#heldCalls = new HeldCalls({
      runtime: this.#runtime,
      settlementWaitMs: options.settlementWaitMs ?? 1_000,
      place: () => this.#reporter.hold(),
      verify: (question, callOptions) => this.verify(question, callOptions),
      renew: (reservation, ttlSeconds, timeoutMs) =>
        this.renew(reservation, ttlSeconds, { timeoutMs: Math.min(this.#timeoutMs, timeoutMs) }),
      releaseLater: (reservation) => this.#releaseLater(reservation),
    });
    this.#breaker = new CircuitBreaker(this.#runtime, options.circuitBreaker);
    this.#batcher =
      options.batchVerifies === false
        ? null
        : new VerifyBatcher(
            (question, callOptions) => this.#verifyOne(question, callOptions),
            (questions, callOptions) => this.#verifyTogether(questions, callOptions),
          );
    this.#reporter = new UsageReporter(
      (events, signal) => this.#sendUsage(events, signal),
      this.#runtime,
      options.usage,
    );
  }

  /**
   * May this key do this, now? Resolves to a verdict whatever it is; where Latchkey did not decide, the failure policy
   * does (`code: 'UNAVAILABLE'`). A verify counts against the key's limits, so it is repeated only when the server
   * certainly decided nothing. Calls of one turn of the event loop share a request, unless `batchVerifies` is off, and
   * each is decided by itself.
   *
   * @throws LatchkeyProblem where the service itself is at fault: its own key (401, 403), or its question (400).
   */
  async verify(question: VerifyQuestion, options: CallOptions = {}): Promise<Verdict> {
    if (!isPresentable(question.key)) return malformed();
    return this.#batcher === null ? this.#verifyOne(question, options) : this.#batcher.verify(question, options);
  }

  /** Several questions at once, up to 100, each decided by itself; verdicts in the order of the questions. */
  async verifyAll(questions: readonly VerifyQuestion[], options: CallOptions = {}): Promise<Verdict[]> {
    const asked = questions.filter(({ key }) => isPresentable(key));
    const verdicts = asked.length === 0 ? [] : await this.#verifyAll(asked, options);
    return questions.map(({ key }) => (isPresentable(key) ? verdicts.shift()! : malformed()));
  }

  /**
   * Whether a verdict of this client may still be acted upon: it was asked for at most 5 seconds ago, by the monotonic
   * clock and by the wall's, which also counts while the host is suspended.
   */
  isFresh(verdict: Verdict): boolean {
    const asked = this.#askedAt.get(verdict);
    if (asked === undefined) return true;
    const age = Math.max(this.#runtime.now() - asked.now, this.#runtime.wallNow() - asked.wallNow);
    return age <= MAX_VERDICT_AGE_MS;
  }

  /**
   * Verifies, and holds `cents`, an upper bound of what the call may cost, until it is settled or released, or its time
   * to live ends (60 s unless asked otherwise). Never let through by the failure policy.
   */
  async reserve(
    key: string,
    cents: number,
    question: ReserveQuestion = {},
    options: CallOptions = {},
  ): Promise<ReserveVerdict> {
    const verdict = await this.verify({ ...question, key, reserveCents: cents }, options);
    return isHeld(verdict) ? verdict : { ...verdict, valid: false };
  }

  /**
   * Replaces what is held by what the call has used; what is left is free again. Resolves when that is committed.
   * Sent again with the same id until then; settled twice with the same content counts once.
   */
  settle(reservation: Reservation | string, usage: Settlement): Promise<UsageResult> {
    const event = settlementOf(reservation, usage);
    return this.#reporter.report(event, { atOnce: true });
  }

  /** Nothing was used: what is held is free again. @throws LatchkeyProblem `ALREADY_SETTLED`. */
  async release(
    reservation: Reservation | string,
    { signal, timeoutMs = this.#timeoutMs }: CallOptions = {},
  ): Promise<ReleasedReservation> {
    const body: ApiBody<'/reservations/release', 'post'> = { reservationId: idOf(reservation) };
    const answer = await this.#transport.send({
      method: 'POST',
      path: '/reservations/release',
      body,
      repeat: 'always',
      timeoutMs,
      signal,
    });
    return answer.body as ReleasedReservation;
  }

  /**
   * Holds what a call has reserved for longer: for `ttlSeconds` from now, 1 to 1800, and never for less than before.
   *
   * @throws LatchkeyProblem `RESERVATION_ENDED`, or `RESERVATION_NOT_RENEWABLE` for budget that was reserved for 60
   *   seconds or less.
   */
  async renew(
    reservation: Reservation | string,
    ttlSeconds: number,
    { signal, timeoutMs = this.#timeoutMs }: CallOptions = {},
  ): Promise<RenewedReservation> {
    const body: ApiBody<'/reservations/renew', 'post'> = { reservationId: idOf(reservation), ttlSeconds };
    const path = '/reservations/renew';
    const answer = await this.#transport.send({ method: 'POST', path, body, repeat: 'always', timeoutMs, signal });
    return answer.body as RenewedReservation;
  }

  /**
   * Holds `cents`, or what the request names, does the work, and settles what it has recorded. What is held is renewed
   * while the work runs. Work that fails without having recorded anything
   * releases the hold; work that ends well without it is charged what was held. The settlement has a place in the
   * queue before the work begins. Its answer is waited for, for `settlementWaitMs`: where none comes in time, the
   * settlement goes on being sent, and this resolves.
   *
   * @throws KeyRefused where the key may not do this, UsageUndelivered `QUEUE_FULL` where there is no place, what the
   *   work throws, and SettlementRefused, with the result of the work, where the settlement was refused.
   */
  withReservation<T>(
    key: string,
    cents: number,
    work: (hold: Hold) => T | Promise<T>,
    options?: ReserveQuestion & CallOptions,
  ): Promise<T>;
  withReservation<T>(
    key: string,
    request: HoldRequest,
    work: (hold: CallHold) => T | Promise<T>,
    options?: ReserveQuestion & CallOptions,
  ): Promise<T>;
  withReservation<T>(
    key: string,
    request: number | HoldRequest,
    work: ((hold: Hold) => T | Promise<T>) | ((hold: CallHold) => T | Promise<T>),
    options: ReserveQuestion & CallOptions = {},
  ): Promise<T> {
    return this.#heldCalls.run(key, request, work as (hold: CallHold) => T | Promise<T>, options);
  }

  /**
   * Queues usage. Resolves to what became of the event once that is committed; nobody has to wait for it. Sent again
   * with the same id until the server has answered. A full queue refuses it at once.
   *
   * @throws UsageUndelivered `QUEUE_FULL`, `CLIENT_CLOSED`, or `REJECTED` for an event whose form is wrong.
   */
  reportUsage(event: UsageEvent): Promise<UsageResult> {
    return this.#reporter.report(event);
  }

  /**
   * Usage events that are lost to Latchkey since the client was made: refused by the server, or not queued any more.
   * Each
   * was told to `usage.onProblem`. Watch it: a call that is not counted here or there is never charged.
   */
  get lostUsage(): number {
    return this.#reporter.lost;
  }

  /** Usage events that wait, those under way included. */
  get queuedUsage(): number {
    return this.#reporter.queued;
  }

  /** Resolves when all usage that is queued now has been answered. */
  flush(): Promise<void> {
    return this.#reporter.flush();
  }

  /**
   * Before the process ends: sends what is queued and returns what could not be sent in time, to be kept and reported
   * again with the same ids. Takes no usage afterwards.
   */
  async close({ timeoutMs = CLOSE_TIMEOUT_MS }: { timeoutMs?: number } = {}): Promise<SentUsageEvent[]> {
    const left = await this.#reporter.close(timeoutMs);
    await Promise.allSettled(this.#releases);
    return left;
  }

  /** Any other operation of the contract, typed by it: `client.call('get', '/users', { query: { size: 50 } })`. */
  call<P extends ApiPath, M extends ApiMethod<P>>(
    method: M,
    path: P,
    input: ApiInput<P, M> = {},
  ): Promise<ApiResult<P, M>> {
    return this.#api.call(method, path, input);
  }

  async #verifyOne(question: VerifyQuestion, options: CallOptions): Promise<Verdict> {
    try {
      const answer = await this.#ask('/verify', question, question.dryRun === true, options);
      return this.#taken(answer.body, question, answer.sentAt);
    } catch (error) {
      return this.#undecided(error, question);
    }
  }

  /** What `#verifyOne` gives or throws for each, by one request. */
  async #verifyTogether(
    questions: readonly VerifyQuestion[],
    options: CallOptions,
  ): Promise<readonly Promise<Verdict>[]> {
    const { signal, timeoutMs = this.#verifyTimeoutMs } = options;
    const endsAt = this.#runtime.now() + timeoutMs;
    // Within the time of the call, whatever the batch has taken of it.
    const again = (question: VerifyQuestion) =>
      this.#verifyOne(question, { signal, timeoutMs: Math.max(1, endsAt - this.#runtime.now()) });
    try {
      const { results, sentAt } = await this.#askBatch(questions, options);
      return results.map((result, index) => this.#fromBatch(result, questions[index]!, sentAt, again));
    } catch (error) {
      // A question that spoils the request for the others (too large, or of no form at all) is found by asking singly.
      if (error instanceof LatchkeyProblem && (error.status === 400 || error.status === 413))
        return questions.map(again);
      return questions.map(async (question) => this.#undecided(error, question));
    }
  }

  /** The verdict on one question of a batch, or what a single verify would have thrown. */
  async #fromBatch(
    result: unknown,
    question: VerifyQuestion,
    sentAt: ApiAnswer['sentAt'],
    again: (question: VerifyQuestion) => Promise<Verdict>,
  ): Promise<Verdict> {
    const { code, valid } = (result ?? {}) as Partial<Verdict>;
    // Nothing was decided, so nothing was consumed: by itself it may have more luck.
    if (valid === false && code === 'UNAVAILABLE') return again(question);
    if (valid === false && code === 'VALIDATION_FAILED') throw wrongQuestion(result as Verdict);
    try {
      return this.#taken(result, question, sentAt);
    } catch (error) {
      return this.#undecided(error, question);
    }
  }

  async #askBatch(
    questions: readonly VerifyQuestion[],
    options: CallOptions,
  ): Promise<{ results: unknown[]; sentAt: ApiAnswer['sentAt'] }> {
    const consumesNothing = questions.every(({ dryRun }) => dryRun === true);
    const { body, sentAt } = await this.#ask('/verify/batch', { items: questions }, consumesNothing, options);
    const results = (body as { results?: unknown } | undefined)?.results;
    if (!Array.isArray(results) || results.length !== questions.length) throw notAVerdict();
    return { results, sentAt };
  }

  async #verifyAll(questions: VerifyQuestion[], options: CallOptions): Promise<Verdict[]> {
    try {
      const { results, sentAt } = await this.#askBatch(questions, options);
      return results.map((result, index) => this.#taken(result, questions[index]!, sentAt));
    } catch (error) {
      const verdicts = questions.map((question) => this.#policyVerdict(this.#outage(error), question));
      this.#onUnavailable(this.#outage(error));
      return verdicts;
    }
  }

  #ask(
    path: string,
    body: unknown,
    consumesNothing: boolean,
    { signal, timeoutMs = this.#verifyTimeoutMs }: CallOptions,
  ): Promise<ApiAnswer> {
    return this.#transport.send({
      method: 'POST',
      path,
      body,
      repeat: consumesNothing ? 'always' : 'undecided',
      timeoutMs,
      signal,
      onAttempt: () => this.#watch(),
    });
  }

  #watch(): AttemptWatch {
    const passage = this.#breaker.enter();
    if (passage === null) {
      const seconds = Math.max(1, Math.ceil(this.#breaker.waitMs / 1000));
      throw new LatchkeyUnreachable(
        'CIRCUIT_OPEN',
        'Latchkey did not answer lately, and is left alone for a moment.',
        seconds,
      );
    }
    return (failure) => {
      if (failure === null) passage.succeeded();
      else if (failure === 'aborted') passage.abandoned();
      else passage.failed();
    };
  }

  /** A verdict that may be acted upon; one that came too late is dropped, and what it holds released. */
  #taken(body: unknown, question: VerifyQuestion, sentAt: ApiAnswer['sentAt']): Verdict {
    const verdict = body as Verdict;
    if (
      typeof verdict !== 'object' ||
      verdict === null ||
      typeof verdict.valid !== 'boolean' ||
      typeof verdict.code !== 'string'
    )
      throw notAVerdict();
    this.#askedAt.set(verdict, sentAt);
    if (!verdict.valid) return verdict;
    const isLate = !this.isFresh(verdict);
    const asksToHold = asksForAmounts(question) && question.dryRun !== true;
    const holdsNothing = asksToHold && verdict.reservation === undefined;
    if (!isLate && !holdsNothing) return verdict;
    if (verdict.reservation !== undefined) this.#releaseLater(verdict.reservation);
    return this.#undecided(
      isLate
        ? new LatchkeyUnreachable('TIMEOUT', 'The verdict came more than 5 seconds after it was asked for.')
        : notAVerdict(),
      question,
    );
  }

  /** @throws what is no outage. */
  #undecided(error: unknown, question: VerifyQuestion): Verdict {
    const outage = this.#outage(error);
    this.#onUnavailable(outage);
    return this.#policyVerdict(outage, question);
  }

  #outage(error: unknown): LatchkeyProblem | LatchkeyUnreachable {
    if (!isOutage(error)) throw error;
    return error;
  }

  #policyVerdict({ retryAfterSeconds }: LatchkeyProblem | LatchkeyUnreachable, question: VerifyQuestion): Verdict {
    // Without a hold nothing would bound what is spent.
    const valid = this.#policy === 'open' && !asksForAmounts(question);
    const detail = valid
      ? 'The key could not be checked and was let through.'
      : 'The key cannot be checked at the moment.';
    return {
      valid,
      code: 'UNAVAILABLE',
      detail,
      degraded: true,
      ...(valid ? {} : { retryAfterSeconds: retryAfterSeconds ?? 1 }),
    };
  }

  /** Nobody waits: if it fails, the hold ends by itself. */
  #releaseLater(reservation: Reservation): void {
    const release: Promise<unknown> = this.release(reservation)
      .catch(() => undefined)
      .finally(() => this.#releases.delete(release));
    this.#releases.add(release);
  }

  async #sendUsage(events: readonly SentUsageEvent[], signal: AbortSignal): Promise<UsageResult[]> {
    const body = await this.#postUsage(events, signal);
    const results = (body as { results?: unknown } | undefined)?.results;
    if (!Array.isArray(results) || results.length !== events.length) {
      throw new LatchkeyUnreachable('UNEXPECTED_ANSWER', 'The answer to a usage report does not fit it.');
    }
    return results as UsageResult[];
  }

  async #postUsage(events: readonly SentUsageEvent[], signal: AbortSignal): Promise<unknown> {
    try {
      // One attempt: the reporter repeats, for longer than a request may.
      const answer = await this.#transport.send({
        method: 'POST',
        path: '/usage',
        body: { events },
        repeat: 'not-sent',
        timeoutMs: this.#timeoutMs,
        signal,
      });
      return answer.body;
    } catch (error) {
      // A conflict has the results too, and so has a refusal of single events: the others are decided.
      const isDecided = error instanceof LatchkeyProblem && (error.status === 409 || error.status === 400);
      if (isDecided && 'results' in error.members) return error.members;
      throw error;
    }
  }
}

function requirePolicy(policy: FailurePolicy): FailurePolicy {
  if (policy !== 'closed' && policy !== 'open') throw new TypeError("failurePolicy must be 'closed' or 'open'.");
  return policy;
}

/** What the contract takes as a key; anything else needs no question to be refused. */
function isPresentable(key: string): boolean {
  return typeof key === 'string' && key.length > 0 && key.length <= MAX_KEY_CHARACTERS;
}

function malformed(): Verdict {
  return { valid: false, code: 'MALFORMED', detail: 'This is not an API key.', degraded: false };
}

/** As `POST /verify` answers it: the fault of the service. */
function wrongQuestion({ code, detail, errors = [] }: Verdict): LatchkeyProblem {
  const members = { code, detail, errors };
  return new LatchkeyProblem(400, code, detail ?? 'The question is not valid.', errors, null, null, members);
}

function notAVerdict(): LatchkeyUnreachable {
  return new LatchkeyUnreachable('UNEXPECTED_ANSWER', 'The answer is not a verdict.');
}

function isHeld(verdict: Verdict): verdict is ReserveVerdict & { valid: true } {
  return verdict.valid && verdict.keyId !== undefined && verdict.reservation !== undefined;
}
