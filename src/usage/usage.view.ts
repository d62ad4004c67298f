import { ApiProperty } from '@nestjs/swagger';
import { centsFromMicroCents } from '../common/money.js';
import type { BookResult } from './usage-entry.js';

/** What can become of a reported event. */
export const USAGE_OUTCOMES = ['accepted', 'duplicate', 'conflict', 'already-settled', 'unknown-key', 'refused'] as const;

/** One of them. */
export type UsageOutcome = (typeof USAGE_OUTCOMES)[number];

/** What became of one event. */
export class UsageResultView {
  /** @example "req-4711" */
  id: string;

  /**
   * `duplicate`: counted before. `conflict`: the id was used before with other content. `already-settled`: another id
   * settled the reservation. `unknown-key`: there never was such a key. `refused`: the amounts are beyond what can be
   * stored. All but `accepted` changed nothing.
   */
  @ApiProperty({ enum: USAGE_OUTCOMES, example: 'accepted' })
  outcome: UsageOutcome;

  /** The reservation had ended or been released; the cost was charged all the same. */
  late?: boolean;

  /**
   * What it cost beyond its reservation; charged all the same.
   * @example 0.5
   */
  excessCents?: number;
}

/** The receipt of a report. It comes after the commit: what it names accepted is kept. */
export class UsageReceiptView {
  /** Events that counted now. */
  accepted: number;

  /** Events that had been counted before. */
  duplicates: number;

  /** One entry per event, in order. */
  results: UsageResultView[];

  /** The receipt of events by their ids. */
  static from(ids: readonly string[], booked: readonly BookResult[]): UsageReceiptView {
    const results = booked.map(({ outcome, isLate, excessMicroCents }, index) => ({
      id: ids[index]!,
      outcome: outcome as UsageOutcome,
      ...(isLate ? { late: true } : {}),
      ...(excessMicroCents > 0n ? { excessCents: centsFromMicroCents(excessMicroCents) } : {}),
    }));
    const count = (wanted: UsageOutcome) => results.filter(({ outcome }) => outcome === wanted).length;
    return { accepted: count('accepted'), duplicates: count('duplicate'), results };
  }
}

/** A reservation that holds nothing any more. */
export class ReleasedReservationView {
  /** @example true */
  released: boolean;

  /**
   * What had been reserved.
   * @example 1.5
   */
  cents: number;
}
