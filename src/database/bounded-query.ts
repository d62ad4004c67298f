import { DatabaseError, type Pool, type QueryConfig, type QueryResultRow } from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { cut } from './lost-connection.js';

/**
 * The rows of one statement, which is a transaction of its own, within `maxMs`, also when PostgreSQL hangs or the
 * network swallows everything: the connection is then cut, so that neither the work nor the pool waits for an answer
 * that never comes. A statement with a name is parsed once a connection.
 *
 * @throws errors of the driver: SQLSTATE in `code`, the CHECK that refused in `constraint`. When the connection was cut
 * or
 *   lost, the outcome is unknown.
 */
export async function boundedQuery<Row extends QueryResultRow>(
  dataSource: DataSource,
  maxMs: number,
  statement: QueryConfig,
): Promise<Row[]> {
  const client = await ((dataSource.driver as PostgresDriver).master as Pool).connect();
  const timer = setTimeout(() => cut(client), maxMs);
  let isLost = true;
  try {
    const { rows } = await client.query<Row>(statement);
    isLost = false;
    return rows;
  } catch (error) {
    // Only a refused statement leaves a session behind; whatever else failed, the next one must not get this
    // connection.
    isLost = !(error instanceof DatabaseError && error.severity === 'ERROR');
    throw error;
  } finally {
    clearTimeout(timer);
    client.release(isLost);
  }
}
