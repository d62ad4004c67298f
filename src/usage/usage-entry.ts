import { hash } from 'node:crypto';
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
  /** null: not named. It then costs what was reserved, or nothing. */
  readonly costMicroCents: bigint | null;
  readonly model: string | null;
  readonly chatbot: string | null;
  readonly endpoint: string | null;
  readonly statusCode: number | null;
  readonly latencyMs: number | null;
  readonly occurredAt: Date | null;
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
 * What became of an entry. `refused`: the database's own constraints refused it, which only a defect or a sum beyond
 * 64 bits can cause; nothing of it was applied. Everything else but `accepted` and `released` changed nothing either.
 */
export const BOOK_OUTCOMES = ['accepted', 'duplicate', 'conflict', 'already-settled', 'unknown-key', 'refused', 'released', 'already-released'] as const;

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
 * The entry of a report. Two reports have the same payload hash exactly if they mean the same after defaults: the
 * order of members and the spelling of numbers and instants do not count. 128 bits of SHA-256: whoever finds a
 * collision among his own ids has only deceived himself.
 */
export function entryOf(callerId: string, report: UsageReport): UsageEntry {
  return {
    kind: 'usage',
    callerId,
    idHash: hashOf(report.id),
    payloadHash: hashOf(payloadOf(report)),
    chargeMicroCents: report.costMicroCents ?? report.reservation?.amount ?? 0n,
    report,
  };
}

/** Everything but the id, in this order for good: the hashes of five weeks are compared with it. */
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
  ]);
}

function hashOf(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32);
}
