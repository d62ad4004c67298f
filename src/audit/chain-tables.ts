/** A chain of the trail: changes and refusals, with the reads of builds before `audit_read`; and reads. */
export type ChainTable = 'audit_event' | 'audit_read';

/**
 * Where a chain ends. Rows behind it are none of its entries: only a writer of the database could have put them there.
 */
export const HEAD_SEQ = {
  audit_event: '(SELECT seq FROM change_head)',
  audit_read: '(SELECT seq FROM audit_read_head)',
} as const satisfies Record<ChainTable, string>;

/**
 * Stored rows from $1 up to and with $2, $3 at most, in order of `seq`. Ask for a range no larger than $3: for a larger
 * one PostgreSQL may sort all of it.
 */
export function linksOf(table: ChainTable): string {
  return `SELECT seq, id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
              actor_kind AS "actorKind", actor_id AS "actorId", actor_owner_id AS "actorOwnerId", action,
              resource_type AS "resourceType", resource_id AS "resourceId", outcome, ip, request_id AS "requestId",
              changes::text AS changes, details::text AS details, body, hash
         FROM ${table} WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT $3`;
}
