import { EVENT_ID, INSTANT_OR_DAY, SUBJECT, UUID } from '../../packages/contract/src/grammar.js';
import type { Schema } from '../../packages/contract/src/schema.js';
import { Field, optional, required } from '../common/field.js';
import { isEventCursor } from './event-cursor.js';

const RESERVATION = {
  type: 'string',
  maxLength: 1024,
  pattern: '^[A-Za-z0-9_-]+$',
  sentence: 'must be the id of a reservation',
} as const satisfies Schema;

const CURSOR = {
  type: 'string',
  check: (text: string) => (isEventCursor(text) ? null : 'must be the nextCursor of another page'),
} as const satisfies Schema;

/** Digits, as a query has them. */
const LIMIT = {
  type: 'string',
  pattern: '^(?:[1-9]\\d?|1\\d\\d|200)$',
  sentence: 'must be a whole number from 1 to 200',
} as const satisfies Schema;

/** Which events of a key; conditions are combined by AND. */
export class UsageEventsQuery {
  /**
   * The key that was used.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(required(UUID))
  keyId: string;

  /**
   * The `id` of the event, as it was reported in the last 35 days.
   * @example "req-4711"
   */
  @Field(optional(EVENT_ID))
  requestId?: string;

  /** A reservation of the key that a verify gave: the event that settled it in the last 35 days. */
  @Field(optional(RESERVATION))
  reservationId?: string;

  /**
   * The `subject` of the events.
   * @example "user-4711"
   */
  @Field(optional(SUBJECT))
  subject?: string;

  /**
   * Received at this instant or later; an instant or a day in UTC.
   * @example "2026-11-01"
   */
  @Field(optional(INSTANT_OR_DAY))
  from?: string;

  /**
   * Received before this instant.
   * @example "2026-12-01"
   */
  @Field(optional(INSTANT_OR_DAY))
  to?: string;

  /** The `nextCursor` of the page before. */
  @Field(optional(CURSOR))
  cursor?: string;

  /**
   * 1 to 200. Absent: 50.
   * @example "50"
   */
  @Field(optional(LIMIT))
  limit?: string;
}
