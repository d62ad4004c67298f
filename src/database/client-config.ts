import type { ClientConfig } from 'pg';
import type { DataSource } from 'typeorm';

/**
 * How to open a single connection beside the pool, as the same login and role. For statements that must not wait for
 * a free connection of the pool, or that need a session of their own.
 */
export function clientConfigOf(dataSource: DataSource, name: string): ClientConfig {
  const { url, extra } = dataSource.options as { url?: string; extra?: { options?: string } };
  if (url === undefined) throw new Error('The pool was not opened by a URL.');
  return {
    connectionString: url,
    application_name: `latchkey-${name}`,
    keepAlive: true,
    ...(extra?.options === undefined ? {} : { options: extra.options }),
  };
}
