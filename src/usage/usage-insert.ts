import type { QueryConfig } from 'pg';
import { bytesArray, plainArray, textArray } from '../database/array-text.js';
import { type HoldsOfEvents, sortHolds } from '../quotas/holds-of-events.js';
import { NO_LEASE } from '../quotas/quota-store.js';
import type { Reservation } from '../quotas/reservation.js';
import { type BookEntry, isOverCeiling, type UsageReport } from './usage-entry.js';

/** An entry that is more than an event which counted now and cost no more than was reserved. */
export interface BookRow {
  /** Its place in the batch, from 1. */
  readonly entry: number;
  /**
   * `repeated`: the id had been taken, see `payload_hash`. `over-ceiling`: it had not, and the cost is too much. The
   * others are those of a settlement.
   */
  readonly outcome: string;
  readonly is_late: boolean;
  readonly excess: string;
  /** In hexadecimal; null: the id is free or was taken by this entry. */
  readonly payload_hash: string | null;
}

const TEXT = `SELECT entry, outcome, is_late, excess, encode(payload_hash, 'hex') AS payload_hash
  FROM usage_book_6(${Array.from({ length: 35 }, (_, index) => `$${index + 1}`).join(', ')})`;

/** Amounts of the settings, in micro-cents. */
export interface BookTerms {
  /** What an event without a reservation frees. */
  readonly defaultHold: bigint;
  /** What one event may cost. @see isOverCeiling */
  readonly ceiling: bigint;
}

/**
 * The statement that books a batch in one transaction; its rows are {@link BookRow}s. No two entries may have the same
 * id.
 *
 * @see src/database/functions/usage_book_6.sql
 */
export function insertUsageStatement(entries: readonly BookEntry[], { defaultHold, ceiling }: BookTerms): QueryConfig {
  const ofReport =
    <Value extends string | number>(pick: (report: UsageReport) => Value | null) =>
    (entry: BookEntry) =>
      entry.kind === 'usage' ? pick(entry.report) : null;
  const number = (pick: (report: UsageReport) => number | null) => plainArray(entries, ofReport(pick));
  const text = (pick: (report: UsageReport) => string | null) => textArray(entries, ofReport(pick));
  const { holds, slots, windows } = sortHolds(entries.map((entry) => reservationOf(entry)?.holds ?? []));
  return {
    name: 'book-usage-6',
    text: TEXT,
    values: [
      plainArray(entries, (entry) => (entry.kind === 'usage' ? entry.report.keyId : entry.reservation.keyId)),
      plainArray(entries, (entry) => (entry.kind === 'usage' ? entry.callerId : null)),
      bytesArray(entries, (entry) => (entry.kind === 'usage' ? entry.idHash : null)),
      bytesArray(entries, (entry) => (entry.kind === 'usage' ? entry.payloadHash : null)),
      plainArray(entries, (entry) => reservationOf(entry)?.reservationId ?? null),
      plainArray(entries, (entry) => reservationOf(entry)?.month ?? null),
      plainArray(entries, (entry) => reservationOf(entry)?.amount ?? null),
      plainArray(entries, (entry) => (entry.kind === 'usage' ? entry.chargeMicroCents : 0n)),
      plainArray(entries, settlerOf),
      defaultHold,
      plainArray(overCeilingOf(entries, ceiling), (place) => place),
      plainArray(holds, ({ event }) => event),
      plainArray(holds, ({ accountId }) => accountId),
      plainArray(holds, ({ period }) => period),
      plainArray(holds, ({ leaseId }) => (leaseId === NO_LEASE ? null : leaseId)),
      textArray(entries, (entry) => (entry.kind === 'usage' ? entry.report.id : null)),
      number(({ requests }) => requests),
      number(({ inputTokens }) => inputTokens),
      number(({ outputTokens }) => outputTokens),
      textArray(entries, (entry) => (entry.kind === 'usage' ? entry.report.model : null)),
      textArray(entries, (entry) => (entry.kind === 'usage' ? entry.report.chatbot : null)),
      textArray(entries, (entry) => (entry.kind === 'usage' ? entry.report.endpoint : null)),
      number(({ statusCode }) => statusCode),
      number(({ latencyMs }) => latencyMs),
      plainArray(
        entries,
        ofReport(({ occurredAt }) => occurredAt?.toISOString() ?? null),
      ),
      // A list of lists of different lengths is none in PostgreSQL: each is the text of one. In quotes: a tag
      // may be called null.
      text(({ tags }) => (tags.length === 0 ? null : `{${tags.map((tag) => `"${tag}"`).join(',')}}`)),
      plainArray(entries, (entry) => reservationOf(entry)?.tokens ?? null),
      plainArray(entries, (entry) => (entry.kind === 'usage' ? entry.chargeTokens : 0n)),
      text(({ subject }) => subject ?? null),
      ...endValues(slots, windows),
    ],
  };
}

/** What is freed whole, and what is taken out of windows. */
function endValues(slots: HoldsOfEvents['slots'], windows: HoldsOfEvents['windows']): string[] {
  return [
    plainArray(slots, ({ event }) => event),
    plainArray(slots, ({ leaseId }) => leaseId),
    plainArray(windows, ({ event }) => event),
    plainArray(windows, ({ accountId }) => accountId),
    plainArray(windows, ({ epoch }) => epoch),
    plainArray(windows, ({ bucket }) => bucket),
  ];
}

/** The places of events that cost more than one may. */
function overCeilingOf(entries: readonly BookEntry[], ceiling: bigint): number[] {
  return entries.flatMap((entry, index) => (isOverCeiling(entry, ceiling) ? [index + 1] : []));
}

/** What an entry settles or drops, or null. */
export function reservationOf(entry: BookEntry): Reservation | null {
  return entry.kind === 'usage' ? entry.report.reservation : entry.reservation;
}

/** Names who ended a reservation: the same name again is a repeat. Without a reservation nobody asks. */
function settlerOf(entry: BookEntry): string | null {
  if (entry.kind === 'release') return 'release';
  return entry.report.reservation === null ? null : `${entry.callerId}:${entry.idHash}`;
}
