import { createHash, randomUUID } from 'node:crypto';
import type { CallOptions } from './api.js';
import type {
  Reservation,
  ReserveVerdict,
  SentUsageEvent,
  Settlement,
  UsageResult,
  Verdict,
  VerifyQuestion,
} from './contract.js';
import { KeyRefused, SettlementRefused, type UsageUndelivered } from './errors.js';
import { ReservationRenewal } from './reservation-renewal.js';
import { type Runtime, sleep } from './runtime.js';
import type { UsagePlace } from './usage-reporter.js';

const DEFAULT_TTL_SECONDS = 60;

/** What else is asked when money is reserved. */
export type ReserveQuestion = Omit<VerifyQuestion, 'key' | 'reserveCents' | 'dryRun'>;

/**
 * What a call is to hold. Without an amount it holds a slot of each limit of calls in flight, and what its key holds of
 * tokens unasked, where there is any.
 */
export interface HoldRequest {
  /** An upper bound of what the call may cost. */
  cents?: number;
  /**
   * An upper bound of the tokens that the call may use. In a limit by minute they count for a minute, whatever
   * `ttlSeconds` is, and what the call has not used is free again once it is settled. Absent: the
   * `defaultReserveTokens` of the key; 0: none.
   */
  tokens?: number;
  /** The end user that the call is for, as your service names it: reported with what the call has used as well. */
  subject?: string;
  /**
   * How long all of it is held if it is not renewed, 1 to 1800 seconds; default 60. Slots are renewed while the work
   * runs. So are cents and tokens that are held for more than 60 seconds; those for 60 or less end by themselves, and
   * what the call reports later is charged as late.
   */
  ttlSeconds?: number;
}

/**
 * A call that holds what was asked for. Without an amount it holds a slot where a limit of calls in flight binds the
 * key, and the `defaultReserveTokens` of the key where a limit of tokens does; else nothing.
 */
export interface CallHold extends Pick<Hold, 'record'> {
  readonly verdict: Verdict & { valid: true };
  readonly reservation: Reservation | undefined;
}

/** A call whose money is held. */
export interface Hold {
  readonly verdict: ReserveVerdict & { valid: true };
  readonly reservation: Reservation;
  /**
   * Says what the call has used so far. The last word counts, and is settled when the call ends, also if it fails.
   */
  record(usage: Settlement): void;
}

/** What held calls need of the client. */
export interface HeldCallsHost {
  readonly runtime: Runtime;
  /** Of a settlement's answer, after the work. */
  readonly settlementWaitMs: number;
  place(): UsagePlace;
  verify(question: VerifyQuestion, options: CallOptions): Promise<Verdict>;
  /** Gives up after `timeoutMs`, or before. */
  renew(reservation: Reservation, ttlSeconds: number, timeoutMs: number): Promise<unknown>;
  /** Nobody waits: if it fails, the hold ends by itself. */
  releaseLater(reservation: Reservation): void;
}

/** Calls that hold something while their work runs. @see LatchkeyClient.withReservation */
export class HeldCalls {
  constructor(private readonly host: HeldCallsHost) {}

  async run<T>(
    key: string,
    request: number | HoldRequest,
    work: (hold: CallHold) => T | Promise<T>,
    { signal, timeoutMs, ...question }: ReserveQuestion & CallOptions,
  ): Promise<T> {
    const place = this.host.place();
    try {
      const asked = holdQuestion(key, request, question);
      const verdict = await this.host.verify(asked, { signal, timeoutMs });
      if (!isAdmitted(verdict)) throw new KeyRefused(verdict);
      const { reservation } = verdict;
      let used: Settlement | null = null;
      const hold: CallHold = { verdict, reservation, record: (usage) => (used = { ...usage }) };
      const renewal = this.renewalOf(reservation, asked);
      let result: T;
      try {
        result = await work(hold);
      } catch (error) {
        const event = used === null ? null : eventOf(verdict, asked, used);
        if (event !== null) void place.fill(event);
        else if (reservation !== undefined) this.host.releaseLater(reservation);
        throw error;
      } finally {
        renewal?.stop();
      }
      const event = eventOf(verdict, asked, used);
      if (event !== null) await this.settled(place.fill(event), event, result);
      return result;
    } finally {
      place.leave();
    }
  }

  /** Null: nothing is held. */
  private renewalOf(
    reservation: Reservation | undefined,
    { reservationTtlSeconds }: VerifyQuestion,
  ): ReservationRenewal | null {
    const seconds = reservationTtlSeconds ?? DEFAULT_TTL_SECONDS;
    if (reservation === undefined) return null;
    const renew = (timeoutMs: number) => this.host.renew(reservation, seconds, timeoutMs);
    return new ReservationRenewal(this.host.runtime, seconds, renew);
  }

  /** Waits for the answer to a settlement for its time. @throws SettlementRefused */
  private async settled(settlement: Promise<UsageResult>, event: SentUsageEvent, result: unknown): Promise<void> {
    const waited = new AbortController();
    const answer = await Promise.race([
      settlement.catch((error: unknown) => error as UsageUndelivered),
      sleep(this.host.runtime, this.host.settlementWaitMs, waited.signal).then(() => null),
    ]);
    waited.abort();
    if (answer === null) return;
    // What could not be sent before the client was closed is returned by `close`, to be reported again.
    if (answer instanceof Error && answer.code !== 'REJECTED') return;
    const outcome = answer instanceof Error ? 'invalid' : answer.outcome;
    if (outcome === 'accepted' || outcome === 'duplicate') return;
    const why = answer instanceof Error ? answer.message : `The settlement was not booked: ${outcome}.`;
    throw new SettlementRefused(outcome, why, result, event, answer instanceof Error ? { cause: answer } : undefined);
  }
}

/** The id of a reservation. */
export function idOf(reservation: Reservation | string): string {
  return typeof reservation === 'string' ? reservation : reservation.id;
}

/** Its id follows from the reservation, so that settling anew after a crash is the same event. */
export function settlementOf(reservation: Reservation | string, usage: Settlement): SentUsageEvent {
  const reservationId = idOf(reservation);
  const id = usage.id ?? `settle-${createHash('sha256').update(reservationId).digest('base64url')}`;
  return { ...usage, id, reservationId };
}

/** What is asked when a call is to hold something. Other fields of `question` are the caller's. */
function holdQuestion(key: string, request: number | HoldRequest, question: ReserveQuestion): VerifyQuestion {
  const { cents, tokens, subject, ttlSeconds }: HoldRequest =
    typeof request === 'number' ? { cents: request } : request;
  return {
    ...question,
    key,
    ...(cents === undefined ? {} : { reserveCents: cents }),
    ...(tokens === undefined ? {} : { reserveTokens: tokens }),
    ...(subject === undefined ? {} : { subject }),
    ...(ttlSeconds === undefined ? {} : { reservationTtlSeconds: ttlSeconds }),
  };
}

/** Whether cents or tokens are to be held. 0 tokens says that none are, also of a key that holds some unasked. */
export function asksForAmounts({ reserveCents, reserveTokens }: VerifyQuestion): boolean {
  return (reserveCents ?? null) !== null || (reserveTokens ?? 0) > 0;
}

/** Let through with an answer that can be acted upon. */
function isAdmitted(verdict: Verdict): verdict is Verdict & { valid: true } {
  return verdict.valid;
}

/** What is reported of a call; null: it held nothing and has recorded nothing. */
function eventOf(
  { reservation, keyId }: Verdict,
  { subject }: VerifyQuestion,
  used: Settlement | null,
): SentUsageEvent | null {
  const usage: Settlement = subject == null ? { ...used } : { subject, ...used };
  if (reservation !== undefined) return settlementOf(reservation, usage);
  if (used === null || keyId === undefined) return null;
  return { ...usage, id: usage.id ?? randomUUID(), apiKeyId: keyId };
}
