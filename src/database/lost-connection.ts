import type { Socket } from 'node:net';
import { DatabaseError, type PoolClient } from 'pg';

/**
 * The server ended a session that said nothing in the middle of a transaction (`idle_in_transaction_session_timeout`).
 */
export const IDLE_IN_TRANSACTION = '25P03';

/**
 * Refusals after which the session is of no more use, by SQLSTATE: the server ends it (57P01 to 57P05, 25P03), or it is
 * not the session it was (26000: a pooler has put another one behind the connection).
 *
 * @see PostgreSQL, Appendix A
 */
const SESSION_ENDED = new Set([IDLE_IN_TRANSACTION, '26000', '57P01', '57P02', '57P03', '57P04', '57P05']);

/** What TypeORM says of a connection that was lost between two statements. */
const RELEASED = new Set(['QueryRunnerAlreadyReleasedError', 'QueryRunnerProviderAlreadyReleasedError']);

/** What the driver says of a connection that was lost. */
const LOST = /Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout/;

/**
 * Whether a statement failed because its connection is lost. What was under way on it ended with it, unless it was
 * COMMIT. Errors that the server answered and after which the session goes on are none.
 */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (RELEASED.has(error.name)) return true;
  const cause = (error as { driverError?: Error }).driverError ?? error;
  const { code } = cause as { code?: unknown };
  if (cause instanceof DatabaseError) return SESSION_ENDED.has(String(code)) || String(code).startsWith('08');
  return ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(String(code)) || LOST.test(cause.message);
}

/**
 * Whether a connection failed while something was written to it. The system took none of that, and nothing that
 * follows: a statement whose last byte was in it has not reached the server.
 */
export function isUnsent(error: unknown): boolean {
  return (error as { syscall?: unknown }).syscall === 'write';
}

/**
 * `client.end()` would wait for the statement that hangs; without its socket the client fails at once and is thrown
 * away.
 */
export function cut(client: PoolClient): void {
  socketOf(client).destroy();
}

/** The connection below a client. */
export function socketOf(client: PoolClient): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}
