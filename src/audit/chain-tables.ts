/** A chain of the trail: changes and refusals, with the reads of builds before `audit_read`; and reads. */
export type ChainTable = 'audit_event' | 'audit_read';

/**
 * Where a chain ends. Rows behind it are none of its entries: only a writer of the database could have put them there.
 */
export const HEAD_SEQ = {
  audit_event: '(SELECT seq FROM change_head)',
  audit_read: '(SELECT seq FROM audit_read_head)',
} as const satisfies Record<ChainTable, string>;

/** The columns of a stored row; `of` is what stands before each of them, such as `e.`. */
export const LINK_COLUMNS = (of = ''): string =>
  `${of}seq, ${of}id, to_char(${of}at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
              ${of}actor_kind AS "actorKind", ${of}actor_id AS "actorId", ${of}actor_owner_id AS "actorOwnerId", ${of}action,
              ${of}resource_type AS "resourceType", ${of}resource_id AS "resourceId", ${of}outcome, ${of}ip, ${of}request_id AS "requestId",
              ${of}changes::text AS changes, ${of}details::text AS details, ${of}body, ${of}hash`;

/**
 * Stored rows from $1 up to and with $2, $3 at most, in order of `seq`. Ask for a range no larger than $3: for a larger
 * one PostgreSQL may sort all of it.
 */
export function linksOf(table: ChainTable): string {
  return `SELECT ${LINK_COLUMNS()} FROM ${table} WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT $3`;
}
