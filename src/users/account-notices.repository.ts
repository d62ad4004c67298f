import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { ActorKind, FieldChange } from '../audit/audit-event.entity.js';
import type { AccountFailures } from './sign-in-counts.repository.js';

/** An entry of the trail that concerns an account. */
export interface AccountEvent {
  readonly seq: string;
  readonly at: Date;
  readonly action: string;
  readonly actorKind: ActorKind;
  readonly actorId: string | null;
  /** null: not a user, or one that is gone. */
  readonly actorName: string | null;
  readonly resourceId: string;
  readonly resourceName: string | null;
  readonly changes: readonly FieldChange[];
  readonly details: Readonly<Record<string, unknown>>;
}

/** What an account has not acknowledged, and the end of the trail at that moment. */
export interface Unseen {
  readonly headSeq: string;
  /** Up to where the account has seen the trail. */
  readonly seenSeq: string;
  readonly failures: AccountFailures | null;
  /** Newest first. */
  readonly events: readonly AccountEvent[];
}

/** What others did to the account, and which service accounts it was given or taken. Reads are no changes. */
const UNSEEN = `
  WITH me AS (SELECT id, id::text AS text_id, notices_seen_seq AS seen FROM users WHERE id = $1),
  found AS (
    SELECT e.seq FROM me, audit_event e
     WHERE e.resource_type = 'user' AND e.resource_id = me.text_id AND e.seq > me.seen AND e.outcome = 'success'
       AND e.action !~ ':(read|explain|export|verify)$' AND e.action !~ '^auth:' AND e.action <> 'users:create'
       AND (e.actor_id IS DISTINCT FROM me.text_id OR e.details->>'by' = 'identity-provider')
    UNION
    SELECT e.seq FROM me, audit_event e
     WHERE e.action IN ('users:create', 'users:update') AND e.seq > me.seen AND e.outcome = 'success'
       AND e.actor_id IS DISTINCT FROM me.text_id AND e.changes @> '[{"field":"managerIds"}]'
       AND e.changes::text LIKE '%' || me.text_id || '%'
  )
  SELECT head.seq AS head_seq, me.seen AS seen_seq, f.failures, f.last_at, f.last_ip, e.seq, e.at, e.action, e.actor_kind, e.actor_id, actor.name AS actor_name, e.resource_id,
         resource.name AS resource_name, e.changes, e.details
    FROM change_head head CROSS JOIN me
    LEFT JOIN sign_in_failure f ON f.user_id = me.id
    LEFT JOIN LATERAL (SELECT * FROM audit_event WHERE seq IN (SELECT seq FROM found) ORDER BY seq DESC LIMIT $2) e ON true
    LEFT JOIN users actor ON e.actor_kind = 'user' AND actor.id::text = e.actor_id
    LEFT JOIN users resource ON resource.id::text = e.resource_id
   ORDER BY e.seq DESC`;

interface Row {
  head_seq: string;
  seen_seq: string;
  failures: string | null;
  last_at: Date;
  last_ip: string | null;
  seq: string | null;
  at: Date;
  action: string;
  actor_kind: ActorKind;
  actor_id: string | null;
  actor_name: string | null;
  resource_id: string;
  resource_name: string | null;
  changes: FieldChange[];
  details: Record<string, unknown>;
}

/**
 * What a person has not been told of the own account: the trail has it, and the user's row says up to where it was
 * seen.
 */
@Injectable()
export class AccountNoticesRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): AccountNoticesRepository {
    return new AccountNoticesRepository(tx);
  }

  /**
   * In one statement, so that the end of the trail and what is before it belong together. null: there is no such user.
   */
  async findUnseen(userId: string, limit: number): Promise<Unseen | null> {
    const rows = await this.manager.query<Row[]>(UNSEEN, [userId, limit]);
    const [first] = rows;
    if (first === undefined) return null;
    const { head_seq: headSeq, seen_seq: seenSeq, failures, last_at: lastAt, last_ip: lastIp } = first;
    return {
      headSeq,
      seenSeq,
      failures: failures === null ? null : { failures: Number(failures), lastAt, lastIp },
      events: rows.filter(({ seq }) => seq !== null).map(eventOf),
    };
  }

  /** The entries up to `seq` are seen; what has not happened yet cannot be. */
  async markSeen(userId: string, seq: string): Promise<void> {
    await this.manager.query(
      `UPDATE users SET notices_seen_seq = least($2::bigint, (SELECT seq FROM change_head))
        WHERE id = $1 AND notices_seen_seq < least($2::bigint, (SELECT seq FROM change_head))`,
      [userId, seq],
    );
  }

  /** So many failures are seen; those that have come since stay. */
  async removeFailures(userId: string, failures: number): Promise<void> {
    await this.manager.query(
      `WITH gone AS (DELETE FROM sign_in_failure WHERE user_id = $1 AND failures <= $2 RETURNING 1)
       UPDATE sign_in_failure SET failures = failures - $2 WHERE user_id = $1 AND failures > $2`,
      [userId, failures],
    );
  }
}

function eventOf(row: Row): AccountEvent {
  return {
    seq: row.seq!,
    at: row.at,
    action: row.action,
    actorKind: row.actor_kind,
    actorId: row.actor_id,
    actorName: row.actor_name,
    resourceId: row.resource_id,
    resourceName: row.resource_name,
    changes: row.changes,
    details: row.details,
  };
}
