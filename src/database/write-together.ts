import type { PoolClient } from 'pg';
import { socketOf } from './lost-connection.js';

const held = new WeakSet<object>();

/**
 * What is sent over a connection in this turn is written at once. Otherwise each statement is a write of its own, and
 * each wakes PostgreSQL for one statement.
 */
export function writeTogether(client: PoolClient): void {
  const socket = socketOf(client);
  if (held.has(socket)) return;
  held.add(socket);
  socket.cork();
  process.nextTick(() => {
    held.delete(socket);
    socket.uncork();
  });
}
