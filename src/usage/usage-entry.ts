import { hash } from 'node:crypto';
import { SLOT, WINDOW } from '../quotas/quota-store.js';
import type { Reservation } from '../quotas/reservation.js';

/** What a service reports, after every check that needs no database. Ids are lower-case; money is micro-cents. */
export interface UsageReport {
  /** Unique per caller and key. */
  readonly id: string;
  readonly keyId: string;
  /** What it settles, or null: the caller did not reserve. */
  readonly reservation: Reservation | null;
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** It names neither of them: what it took is then what was reserved. */
  readonly isWithoutTokens?: boolean;
  /** null: not named. It then costs what was reserved, or nothing. */
  readonly costMicroCents: bigint | null;
  readonly model: string | null;
  readonly chatbot: string | null;
  /** The end user that the call was for, as the caller names it; absent: not named. */
  readonly subject?: string;
  readonly endpoint: string | null;
  readonly statusCode: number | null;
  readonly latencyMs: number | null;
  readonly occurredAt: Date | null;
  /** Each once, in the order of their characters; empty: none. */
  readonly tags: readonly string[];
}

/** One event on its way into the books. */
export interface UsageEntry {
  readonly kind: 'usage';
  /** The owner of the credential that reports. */
  readonly callerId: string;
  /** 16 bytes in hexadecimal, like the next. */
  readonly idHash: string;
  readonly payloadHash: string;
  /** What the event costs. */
  readonly chargeMicroCents: bigint;
  /** What limits of tokens are charged with. */
  readonly chargeTokens: bigint;
  readonly report: UsageReport;
}

/** A reservation that is dropped without a cost. */
export interface ReleaseEntry {
  readonly kind: 'release';
  readonly reservation: Reservation;
}

/** Whatever goes through the group commit. */
export type BookEntry = UsageEntry | ReleaseEntry;

/**
 * What became of an entry. `over-ceiling`: it costs more than MAX_EVENT_COST_CENTS. `refused`: the database's own
 * constraints refused it, which only a defect can cause; nothing of it was applied. Everything else but `accepted` and
 * `released` changed nothing either.
 */
export const BOOK_OUTCOMES = [
  'accepted',
  'duplicate',
  'conflict',
  'already-settled',
  'unknown-key',
  'over-ceiling',
  'refused',
  'released',
  'already-released',
] as const;

/** One of them. */
export type BookOutcome = (typeof BOOK_OUTCOMES)[number];

/** The answer to one entry. */
export interface BookResult {
  readonly outcome: BookOutcome;
  /** The reservation's lease was closed, or it was released, before; charged all the same. */
  readonly isLate: boolean;
  /** What it cost beyond its reservation. */
  readonly excessMicroCents: bigint;
}

/**
 * The entry of a report. Its payload hash does not depend on the order of members or the spelling of numbers and
 * instants. 128 bits of SHA-256: a collision among a caller's own ids harms that caller alone.
 *
 * @see isRepeatOf, for reports that mean the same and have different hashes
 */
export function entryOf(callerId: string, report: UsageReport): UsageEntry {
  return {
    kind: 'usage',
    callerId,
    idHash: hashOf(report.id),
    payloadHash: hashOf(payloadOf(report)),
    chargeMicroCents: report.costMicroCents ?? report.reservation?.amount ?? 0n,
    chargeTokens:
      report.isWithoutTokens === true
        ? (report.reservation?.tokens ?? 0n)
        : BigInt(report.inputTokens) + BigInt(report.outputTokens),
    report,
  };
}

/**
 * Whether an entry costs more than one event may. What a budget held for it is not too much: it was decided when the
 * key was verified, and must not be refused when it is settled.
 */
export function isOverCeiling(entry: BookEntry, ceilingMicroCents: bigint): boolean {
  if (entry.kind === 'release' || entry.chargeMicroCents <= ceilingMicroCents) return false;
  const { reservation } = entry.report;
  return reservation === null || !holdsAmounts(reservation) || entry.chargeMicroCents > reservation.amount;
}

/** Whether any account decided about it: a slot and a window of tokens hold no amount of money. */
function holdsAmounts({ holds }: Reservation): boolean {
  return holds.some(({ period }) => period !== SLOT && period !== WINDOW);
}

/** The owner in whose name an entry is booked. */
export function callerIdOf(entry: BookEntry): string {
  return entry.kind === 'usage' ? entry.callerId : entry.reservation.callerId;
}

/**
 * Whether an entry says what was booked under its id. Without a reservation, a cost of 0 and no cost mean the same and
 * have different hashes, in the released form; so the other spelling is tried where the hashes differ. With a
 * reservation no cost means what was reserved, and 0 means nothing.
 */
export function isRepeatOf({ payloadHash, report }: UsageEntry, bookedHash: string): boolean {
  if (payloadHash === bookedHash) return true;
  if (report.reservation !== null || (report.costMicroCents ?? 0n) !== 0n) return false;
  return bookedHash === hashOf(payloadOf({ ...report, costMicroCents: report.costMicroCents === null ? 0n : null }));
}

/**
 * Form 1: everything but the id, in this order for good. Hashes of five weeks are compared with it, also by a replica
 * of an older build on the same database, so an event that an older build can read must keep the hash that build gives
 * it. A member that is new is appended only to an event that has it (form 2 and so on): an older build refuses such an
 * event, and no event without the member changes its hash.
 */
function payloadOf(report: UsageReport): string {
  return JSON.stringify([
    report.keyId,
    report.reservation?.reservationId ?? null,
    report.requests,
    report.inputTokens,
    report.outputTokens,
    report.costMicroCents?.toString() ?? null,
    report.model,
    report.chatbot,
    report.endpoint,
    report.statusCode,
    report.latencyMs,
    report.occurredAt,
    // Form 2.
    ...(report.tags.length > 0 ? [report.tags] : []),
    // Form 3: without them, what was reserved is charged; 0 is charged as 0.
    ...(report.isWithoutTokens === true && (report.reservation?.tokens ?? 0n) > 0n ? [null] : []),
    // Form 4.
    ...(report.subject === undefined ? [] : [report.subject]),
  ]);
}

function hashOf(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32);
}
