import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../access/caller.js';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import { type FieldError, validationFailed } from '../common/domain-error.js';
import { instantOrDayFrom } from '../../packages/contract/src/instant.js';
import { ReservationSigner } from '../quotas/reservation.js';
import { eventCursorAt, eventPlaceOf } from './event-cursor.js';
import type { UsageEventsQuery } from './usage-events.dto.js';
import { UsageEventsRepository } from './usage-events.repository.js';
import { UsageEventsView, UsageEventView } from './usage-events.view.js';

const DEFAULT_LIMIT = 50;

/** Answers "what did this call cost?". */
@Injectable()
export class UsageEventsService {
  constructor(
    private readonly keys: ApiKeysService,
    private readonly events: UsageEventsRepository,
    private readonly signer: ReservationSigner,
  ) {}

  /**
   * Events of one key, newest first. Who may read usage of all keys may read that of deleted ones too.
   *
   * @throws DomainError 400 for what is no reservation of the key; 404 for keys that are not for this caller to know
   */
  async find(caller: KnownCaller, query: UsageEventsQuery): Promise<UsageEventsView> {
    const keyId = query.keyId.toLowerCase();
    if (!caller.principal.may('platform:usage:read')) await this.keys.get(caller, keyId);
    const limit = Number(query.limit ?? DEFAULT_LIMIT);
    const search = {
      ...{ keyId, reservationId: this.reservationIdOf(query), eventId: query.requestId ?? null },
      subject: query.subject ?? null,
      ...instantsOf(query),
      after: query.cursor === undefined ? null : eventPlaceOf(query.cursor),
    };
    const found = await this.events.find(search, limit + 1);
    const last = found.length > limit ? found[limit - 1]! : null;
    return {
      data: found.slice(0, limit).map((event) => UsageEventView.from(event)),
      nextCursor: last && eventCursorAt({ atMicros: last.at_micros, callerId: last.caller_id, eventId: last.event_id }),
      // After the page was read: what is archived meanwhile is named.
      archivedBefore: await this.events.archivedBefore(),
    };
  }

  /** The id inside of a reservation, or null: none was named. */
  private reservationIdOf({ keyId, reservationId }: UsageEventsQuery): string | null {
    if (reservationId === undefined) return null;
    const reservation = this.signer.open(reservationId);
    if (reservation?.keyId === keyId.toLowerCase()) return reservation.reservationId;
    throw validationFailed([{ path: 'reservationId', message: 'unknown reservation, or of another key' }]);
  }
}

function instantsOf({ from, to }: UsageEventsQuery): { from: Date | null; to: Date | null } {
  const errors: FieldError[] = [];
  const read = (path: string, text: string | undefined) => {
    const instant = text === undefined ? null : instantOrDayFrom(text);
    if (text !== undefined && instant === null)
      errors.push({ path, message: 'must be an instant such as 2026-11-21T00:00:00Z, or a day' });
    return instant;
  };
  const range = { from: read('from', from), to: read('to', to) };
  if (errors.length > 0) throw validationFailed(errors);
  return range;
}
