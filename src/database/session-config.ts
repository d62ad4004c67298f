import type { DataSource } from 'typeorm';
import type { SessionConfig } from './session-client.js';
import type { SessionKind } from './session.js';

/**
 * How to open a single session beside the pool, as the same login and role. For statements that must not wait for a
 * free connection of the pool, or that need a session of their own.
 */
export function sessionConfigOf(dataSource: DataSource, name: string, kind: SessionKind): SessionConfig {
  const pool = (dataSource.options as { extra?: SessionConfig }).extra;
  if (pool?.session === undefined) throw new Error('The pool was not opened by dataSourceOptions().');
  // Options of the pool that are none of a session (`Client`) do nothing there.
  // Its user bounds its statements, and sends one after the other.
  return {
    ...pool,
    pipeline: false,
    query_timeout: 0,
    application_name: `latchkey-${name}`,
    session: { ...pool.session, kind },
  };
}
