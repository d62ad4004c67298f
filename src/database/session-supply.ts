import { ConnectionRefusal, placeOf } from './connection-refusals.js';
import { type DatabaseAddress, openSession, targetOf } from './first-connection.js';
import type { SessionClient } from './session-client.js';

/** Sessions of the pool, for management and usage. PostgreSQL allows 200 in embedded mode. */
export const POOL_SIZE = 20;
/** What a replica uses at most: the pool, 4 for cache, feed and heartbeat, 8 for leases. */
export const MAX_SESSIONS = POOL_SIZE + 4 + 8;
/** With fewer, a verify waits for a lease behind a page of the console. */
const MIN_SESSIONS = 10;

/** How many sessions a replica can have, as far as it can be known now. */
export interface Supply {
  readonly free: number;
  /** What limits them, for a person. */
  readonly limit: string;
}

interface Limits {
  free: number;
  limit: string;
}

/** The rows of other logins show no more than their ids, so what a session is for cannot be asked. */
const LIMITS = `
  WITH used AS (
    SELECT count(*) AS sessions, count(*) FILTER (WHERE usename = session_user) AS of_login,
           count(*) FILTER (WHERE datname = current_database()) AS of_database
      FROM pg_stat_activity WHERE usesysid IS NOT NULL AND datid IS NOT NULL AND pid <> pg_backend_pid()),
  login AS (SELECT rolsuper, CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END AS most FROM pg_roles WHERE rolname = session_user),
  supply (free, "limit") AS (
    SELECT current_setting('max_connections')::int - sessions
           - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int
                                          + coalesce(current_setting('reserved_connections', true), '0')::int END,
           'max_connections = ' || current_setting('max_connections') FROM used, login
    UNION ALL SELECT most - of_login, 'CONNECTION LIMIT ' || most || ' of the login ' || session_user FROM used, login WHERE most >= 0
    UNION ALL SELECT datconnlimit - of_database, 'CONNECTION LIMIT ' || datconnlimit || ' of the database ' || datname
      FROM used, login, pg_database WHERE datname = current_database() AND datconnlimit >= 0 AND NOT rolsuper)
  SELECT free::int, "limit" FROM supply ORDER BY free LIMIT 1`;

/** How many sessions PostgreSQL itself has free for this login. */
export async function countFreeSessions(session: SessionClient): Promise<Supply> {
  const { rows } = await session.query<Limits>(LIMITS);
  return { free: Math.max(0, rows[0]!.free), limit: rows[0]!.limit };
}

/**
 * How many sessions a pooler gives, up to what a replica uses, beside the one that asks: it tells no client, so as many
 * are opened for a moment.
 */
export async function countPooledSessions(address: DatabaseAddress): Promise<Supply> {
  const attempts = await Promise.allSettled(
    Array.from({ length: MAX_SESSIONS - 1 }, () => openSession(address, undefined, POOLED_WITHIN_MS)),
  );
  const opened = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
  await Promise.allSettled(opened.map((session) => session.end()));
  return { free: opened.length + 1, limit: 'default_pool_size of the connection pooler' };
}

/** Long enough for a pooler to open sessions of PostgreSQL one after the other. */
const POOLED_WITHIN_MS = 2_000;

/**
 * Returns what there is to know of them, for a person.
 *
 * @throws StartRefusal when a replica could not do its work: waiting for others to end theirs may help
 */
export function checkSupply(
  { free, limit }: Supply,
  session: SessionClient,
  { setting }: DatabaseAddress,
): { note: string; isScarce: boolean } {
  if (free < MIN_SESSIONS) {
    throw new ConnectionRefusal(
      `A replica needs ${MIN_SESSIONS} to ${MAX_SESSIONS} sessions at ${placeOf(targetOf(session, setting))}, of which ${free} are free ` +
        `(${limit}): raise that, or end what holds them.`,
      true,
    );
  }
  if (free >= MAX_SESSIONS)
    return { note: `${free} sessions free, a replica uses up to ${MAX_SESSIONS}`, isScarce: false };
  return {
    note: `This replica uses up to ${MAX_SESSIONS} sessions of PostgreSQL, of which ${free} are free (${limit}): raise that, or expect 503 under load.`,
    isScarce: true,
  };
}
