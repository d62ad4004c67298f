import { IsString, Matches, MaxLength } from 'class-validator';
import { EVENT_ID } from '../common/grammars/event-id.js';
import { IfPresent, IsId, IsOf, Satisfies } from '../common/validators.js';
import { isEventCursor } from './event-cursor.js';

const isLimit = (value: unknown) => typeof value === 'string' && /^[1-9]\d{0,2}$/.test(value) && Number(value) <= 200;

/** Which events of a key; conditions are combined by AND. */
export class UsageEventsQuery {
  /**
   * The key that was used.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  @IsId()
  keyId: string;

  /**
   * The `id` of the event, as it was reported in the last 35 days.
   * @example "req-4711"
   */
  @IfPresent()
  @IsOf(EVENT_ID)
  requestId?: string;

  /** A reservation of the key that a verify gave: the event that settled it in the last 35 days. */
  @IfPresent()
  @IsString()
  @MaxLength(512)
  @Matches(/^[A-Za-z0-9_-]+$/, { message: 'must be the id of a reservation' })
  reservationId?: string;

  /**
   * Received at this instant or later; an instant or a day in UTC.
   * @example "2026-11-01"
   */
  @IfPresent()
  @IsString()
  @MaxLength(40)
  from?: string;

  /**
   * Received before this instant.
   * @example "2026-12-01"
   */
  @IfPresent()
  @IsString()
  @MaxLength(40)
  to?: string;

  /** The `nextCursor` of the page before. */
  @IfPresent()
  @Satisfies('cursor', isEventCursor, 'must be the nextCursor of another page')
  cursor?: string;

  /**
   * 1 to 200. Absent: 50.
   * @example "50"
   */
  @IfPresent()
  @Satisfies('limit', isLimit, 'must be a whole number from 1 to 200')
  limit?: string;
}
