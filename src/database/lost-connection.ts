import type { Socket } from 'node:net';
import type { PoolClient } from 'pg';

/**
 * Whether a connection failed while something was written to it. The system did not take all of that, and nothing that
 * follows: the last statement of what was written has not reached the server.
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
