import { hash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { EventPlace } from './event-cursor.js';

/** A row of usage_event, with the owner of the key at that time. */
export interface StoredUsageEvent {
  readonly received_at: Date;
  readonly at_micros: string;
  readonly key_id: string;
  readonly caller_id: string;
  readonly event_id: string;
  readonly owner_id: string | null;
  readonly is_settlement: boolean;
  readonly requests: number;
  readonly input_tokens: string;
  readonly output_tokens: string;
  readonly cost_micro_cents: string;
  readonly excess_micro_cents: string;
  readonly is_late: boolean;
  readonly model: string;
  readonly chatbot: string | null;
  readonly subject: string | null;
  readonly endpoint: string | null;
  readonly status_code: number | null;
  readonly latency_ms: number | null;
  readonly occurred_at: Date | null;
  readonly tags: string[] | null;
}

/** Which events of a key. */
export interface EventSearch {
  readonly keyId: string;
  readonly eventId: string | null;
  /** The id inside of a reservation. */
  readonly reservationId: string | null;
  readonly subject: string | null;
  readonly from: Date | null;
  readonly to: Date | null;
  /** Those behind it; null: from the newest. */
  readonly after: EventPlace | null;
}

/** Instants at which an id was booked. A caller is a user, so each probe is a look-up in the primary key. */
const OF_ID = `e.event_id = $2 AND e.received_at IN (
  SELECT u.received_at FROM usage_id u WHERE u.key_id = $1 AND u.caller_id IN (SELECT id FROM users) AND u.id_hash = $3)`;

/** A reservation remembers who ended it: the caller and the hash of the event's id. */
const OF_RESERVATION = `e.reservation_id = $4 AND e.received_at IN (
  SELECT u.received_at FROM reservation_end r JOIN usage_id u ON u.key_id = r.key_id
     AND u.caller_id = CASE r.kind WHEN 'settle' THEN split_part(r.ended_by, ':', 1)::uuid END
     AND u.id_hash = CASE r.kind WHEN 'settle' THEN decode(split_part(r.ended_by, ':', 2), 'hex') END
   WHERE r.key_id = $1 AND r.reservation_id = $4)`;

/** What the build before booked has no version of its own: it has that of its hour. */
const VERSION_OF_EVENT = `SELECT coalesce(e.version_id, (
  SELECT r.version_id FROM usage_rollup_hour r
   WHERE r.key_id = e.key_id AND r.hour = date_trunc('hour', e.received_at, 'UTC') AND r.model = e.model)) AS id`;

/** Reads single events, of one key at a time: their index is by key. */
@Injectable()
export class UsageEventsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The end of the last month whose events were archived, and are not found; null: none were. */
  async archivedBefore(): Promise<Date | null> {
    const [row] = await this.manager.query<{ at: Date | null }[]>(
      `SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' AS at FROM usage_archive`,
    );
    return row!.at;
  }

  /** Up to `limit` events, newest first. */
  find(
    { keyId, eventId, reservationId, subject, from, to, after }: EventSearch,
    limit: number,
  ): Promise<StoredUsageEvent[]> {
    return this.manager.query<StoredUsageEvent[]>(
      `SELECT e.*, (extract(epoch FROM e.received_at) * 1000000)::bigint::text AS at_micros,
              e.reservation_id IS NOT NULL AS is_settlement,
              (SELECT v.owner_id FROM key_version v, LATERAL (${VERSION_OF_EVENT}) w
                WHERE v.key_id = e.key_id AND (w.id IS NULL OR v.id = w.id) ORDER BY v.id LIMIT 1) AS owner_id
         FROM usage_event e
        WHERE e.key_id = $1 ${subject === null ? '' : 'AND e.subject = $11'}
          AND ($2::text IS NULL OR ${OF_ID}) AND ($4::uuid IS NULL OR ${OF_RESERVATION})
          AND ($5::timestamptz IS NULL OR e.received_at >= $5) AND ($6::timestamptz IS NULL OR e.received_at < $6)
          AND ($7::bigint IS NULL OR (e.received_at, e.caller_id, e.event_id) < ('epoch'::timestamptz + $7 * interval '1 microsecond', $8::uuid, $9::text))
        ORDER BY e.received_at DESC, e.caller_id DESC, e.event_id DESC LIMIT $10`,
      [
        keyId,
        eventId,
        eventId === null ? null : Buffer.from(hash('sha256', eventId, 'hex').slice(0, 32), 'hex'),
        reservationId,
        from,
        to,
        after?.atMicros ?? null,
        after?.callerId ?? null,
        after?.eventId ?? null,
        limit,
        ...(subject === null ? [] : [subject]),
      ],
    );
  }
}
