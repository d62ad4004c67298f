import type { FieldError, RefusingLimit, SentUsageEvent, UsageResult, Verdict } from './contract.js';

/** Every error of this client. `code` is a stable name for programs. */
export class LatchkeyError extends Error {
  override readonly name: string = 'LatchkeyError';

  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Latchkey said no (RFC 9457). `code` is one of docs/http-status-codes.md; `detail` is the message. */
export class LatchkeyProblem extends LatchkeyError {
  override readonly name = 'LatchkeyProblem';

  constructor(
    readonly status: number,
    code: string,
    detail: string,
    /** With 400: every wrong field. */
    readonly errors: readonly FieldError[],
    /** Quote it when you ask for help. */
    readonly requestId: string | null,
    /** From `Retry-After`: when to ask again, in seconds. */
    readonly retryAfterSeconds: number | null,
    /** All members of the problem document. */
    readonly members: Readonly<Record<string, unknown>>,
  ) {
    super(code, detail);
  }
}

/**
 * There is no answer, or none that Latchkey gives: no connection, a time-out, a page of some proxy, or the circuit is
 * open. Unless `notSent`, whether the server acted on the request is unknown.
 */
export class LatchkeyUnreachable extends LatchkeyError {
  override readonly name = 'LatchkeyUnreachable';

  constructor(
    code: 'NOT_CONNECTED' | 'CONNECTION_LOST' | 'TIMEOUT' | 'UNEXPECTED_ANSWER' | 'CIRCUIT_OPEN',
    message: string,
    readonly retryAfterSeconds: number | null = null,
    options?: ErrorOptions,
  ) {
    super(code, message, options);
  }

  /** Whether the server certainly never got the request. */
  get notSent(): boolean {
    return this.code === 'NOT_CONNECTED' || this.code === 'CIRCUIT_OPEN';
  }
}

/** The key may not do this: thrown where there is no verdict to return. */
export class KeyRefused extends LatchkeyError {
  override readonly name = 'KeyRefused';

  constructor(readonly verdict: Verdict) {
    super(verdict.code, verdict.detail ?? 'The key may not do this.');
  }

  /** When the refusal ends by itself, in seconds; null: it does not, or nobody knows. */
  get retryAfterSeconds(): number | null {
    return this.verdict.retryAfterSeconds ?? null;
  }

  /** The limit that refused the call, where one did that keys share. */
  get limit(): RefusingLimit | null {
    return this.verdict.limit ?? null;
  }
}

/** An event that is not in the queue any more, or never was: keep it, and report it again with the same id. */
export class UsageUndelivered extends LatchkeyError {
  override readonly name = 'UsageUndelivered';

  constructor(
    code: 'QUEUE_FULL' | 'CLIENT_CLOSED' | 'REJECTED',
    message: string,
    /** null: the queue was full before there was an event. */
    readonly event: SentUsageEvent | null,
    options?: ErrorOptions,
  ) {
    super(code, message, options);
  }
}

/**
 * The work was done, and its settlement was refused: the call is not charged as recorded. `result` is what the work
 * gave,
 * for the caller to use all the same; `outcome` says why, and `cause` is the answer of the server where there is one.
 */
export class SettlementRefused<T = unknown> extends LatchkeyError {
  override readonly name = 'SettlementRefused';

  constructor(
    readonly outcome: Exclude<UsageResult['outcome'], 'accepted' | 'duplicate'>,
    message: string,
    readonly result: T,
    readonly event: SentUsageEvent,
    options?: ErrorOptions,
  ) {
    super('SETTLEMENT_REFUSED', message, options);
  }
}
