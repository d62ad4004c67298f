import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { VerdictCode } from '../checks.js';
import { REFUSED_CALL_LIMITS, type RefusedVia } from './refused-calls.js';

/** A refused call as the database has it. */
export interface StoredRefusedCall {
  /** Digits: its place among those of its key. */
  readonly seq: string;
  readonly at: Date;
  readonly code: VerdictCode;
  readonly detail: string | null;
  readonly via: RefusedVia;
  readonly ip: string | null;
  readonly environment: 'live' | 'test' | null;
  readonly model: string | null;
  readonly chatbot: string | null;
  readonly scopes: string[];
  readonly scopes_left_out: number;
  readonly cost: number | null;
  readonly reserve_cents: number | null;
  readonly request_id: string | null;
  readonly client_request_id: string | null;
  readonly asked_by_kind: 'key' | 'user' | null;
  readonly asked_by: string | null;
  readonly asked_by_name: string | null;
}

/** Which refused calls of a key. */
export interface RefusedCallSearch {
  readonly keyId: string;
  readonly code: string | null;
  /** Those with a lower place; null: from the newest. */
  readonly below: string | null;
  /** Those with a higher place; null: all. */
  readonly above: string | null;
}

/** How many refused calls there were, and how many are kept. */
export interface RefusedCallCounts {
  readonly counted: number;
  readonly kept: number;
}

const SINCE = `now() - interval '${REFUSED_CALL_LIMITS.keptHours} hours'`;

/** Reads refused calls, of one key at a time. */
@Injectable()
export class RefusedCallsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** Up to `limit` refused calls, newest first. */
  find({ keyId, code, below, above }: RefusedCallSearch, limit: number): Promise<StoredRefusedCall[]> {
    return this.manager.query<StoredRefusedCall[]>(
      `SELECT r.*, coalesce(k.name, u.name) AS asked_by_name
         FROM refused_call r
         LEFT JOIN api_key k ON r.asked_by_kind = 'key' AND k.id = r.asked_by
         LEFT JOIN users u ON r.asked_by_kind = 'user' AND u.id = r.asked_by
        WHERE r.key_id = $1 AND r.at > ${SINCE} AND ($2::text IS NULL OR r.code = $2)
          AND ($3::bigint IS NULL OR r.seq < $3) AND ($4::bigint IS NULL OR r.seq > $4)
        ORDER BY r.seq DESC LIMIT $5`,
      [keyId, code, below, above, limit],
    );
  }

  /** Of a key and a code. Introspections are kept and not counted as verdicts, so they are left out of both numbers. */
  async count(keyId: string, code: string | null): Promise<RefusedCallCounts> {
    const [row] = await this.manager.query<RefusedCallCounts[]>(
      `SELECT (SELECT coalesce(sum(v.count), 0)::float8 FROM verdict_minute v
                WHERE v.key_id = $1 AND v.code <> 'VALID' AND ($2::text IS NULL OR v.code = $2) AND v.minute >= ${SINCE}) AS counted,
              (SELECT count(*)::int FROM refused_call r
                WHERE r.key_id = $1 AND r.via <> 'introspect' AND ($2::text IS NULL OR r.code = $2) AND r.at > ${SINCE}) AS kept`,
      [keyId, code],
    );
    return row!;
  }
}
