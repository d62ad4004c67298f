import { ApiProperty } from '@nestjs/swagger';
import { centsFromMicroCents } from '../common/money.js';
import { FieldErrorView } from '../common/problem.view.js';
import type { BookResult } from './usage-entry.js';
import type { InvalidEvent, ParsedEvent, ReadEvent } from './usage-parser.js';

/** What can become of a reported event. */
export const USAGE_OUTCOMES = [
  'accepted',
  'duplicate',
  'conflict',
  'already-settled',
  'unknown-key',
  'refused',
  'invalid',
] as const;

/** One of them. */
export type UsageOutcome = (typeof USAGE_OUTCOMES)[number];

/** What became of one event. */
export class UsageResultView {
  /** @example "req-4711" */
  id: string;

  /**
   * `duplicate`: counted before. `conflict`: the id was used before with other content. `already-settled`: another id
   * settled the reservation. `unknown-key`: there never was such a key. `refused`: a constraint of the database refused
   * it. `invalid`: a field is wrong, see `errors`. All but `accepted` changed nothing.
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

  /**
   * Labels of a settlement that were wrong: cut to what can be stored, or left out. The cost was charged all the same.
   * @example ["model"]
   */
  labelsCut?: string[];

  /** With `invalid`: every wrong field, by its path inside of the event. */
  errors?: FieldErrorView[];

  /**
   * With `invalid`: the setting of the server that refuses the event, where it is one.
   * @example "MAX_EVENT_COST_CENTS"
   */
  @ApiProperty({ enum: ['MAX_EVENT_COST_CENTS'], required: false })
  code?: 'MAX_EVENT_COST_CENTS';
}

/** The receipt of a report. It comes after the commit: what it names accepted is kept. */
export class UsageReceiptView {
  /** Events that counted now. */
  accepted: number;

  /** Events that had been counted before. */
  duplicates: number;

  /** One entry per event, in order. */
  results: UsageResultView[];

  /**
   * The receipt of events; `booked` has one result for each of those that are right, in order.
   *
   * @param ceilingCents what one event may cost
   */
  static from(events: readonly ParsedEvent[], booked: readonly BookResult[], ceilingCents: number): UsageReceiptView {
    let next = 0;
    const resultFor = (event: ParsedEvent) =>
      'report' in event ? resultOf(event, booked[next++]!, ceilingCents) : invalidResult(event);
    const results = events.map(resultFor);
    const count = (wanted: UsageOutcome) => results.filter(({ outcome }) => outcome === wanted).length;
    return { accepted: count('accepted'), duplicates: count('duplicate'), results };
  }
}

function resultOf(
  { id, labelsCut }: ReadEvent,
  { outcome, isLate, excessMicroCents }: BookResult,
  ceilingCents: number,
): UsageResultView {
  if (outcome === 'over-ceiling') return overCeiling(id, ceilingCents);
  return {
    id,
    outcome: outcome as UsageOutcome,
    ...(isLate ? { late: true } : {}),
    ...(excessMicroCents > 0n ? { excessCents: centsFromMicroCents(excessMicroCents) } : {}),
    ...(labelsCut.length > 0 ? { labelsCut: [...labelsCut] } : {}),
  };
}

function overCeiling(id: string, ceilingCents: number): UsageResultView {
  const message = `must not be greater than ${ceilingCents}, what MAX_EVENT_COST_CENTS of this server allows one event`;
  return { id, outcome: 'invalid', errors: [{ path: 'costCents', message }], code: 'MAX_EVENT_COST_CENTS' };
}

function invalidResult({ id, errors }: InvalidEvent): UsageResultView {
  return { id, outcome: 'invalid', errors: errors.map(({ path, message }) => ({ path: path || 'event', message })) };
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

/** A reservation that is held for longer. */
export class RenewedReservationView {
  /** @example true */
  renewed: boolean;

  /**
   * Until when its caller may still report it in time.
   * @example "2030-01-31T12:02:00.000Z"
   */
  expiresAt: string;
}
