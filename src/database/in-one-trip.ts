import type { PoolClient, QueryConfig } from 'pg';
import { type EntityManager, QueryFailedError, QueryRunnerAlreadyReleasedError } from 'typeorm';
import { writeTogether } from './write-together.js';

/**
 * The rows of several statements of one transaction, in one round trip. PostgreSQL runs them in this order, each seeing
 * what was committed until the one before it ended: a read behind a lock sees what the lock waited for. What is asked
 * for in several calls of one turn travels in the order of the calls.
 *
 * @throws QueryFailedError of the first that fails; those after it are not run
 * @throws QueryRunnerAlreadyReleasedError once the transaction is over: another may have its connection
 */
export async function inOneTrip(tx: EntityManager, statements: readonly QueryConfig[]): Promise<unknown[][]> {
  const { queryRunner } = tx;
  if (!queryRunner) throw new Error('Only statements of a transaction travel together.');
  const client = (await queryRunner.connect()) as PoolClient;
  if (queryRunner.isReleased) throw new QueryRunnerAlreadyReleasedError();
  writeTogether(client);
  return Promise.all(statements.map((statement) => rowsOf(client, statement)));
}

/**
 * The rows of one statement that is sent often, in the transaction of `manager` or in none. PostgreSQL plans it once a
 * session of the pool, if the plan for any values looks no more expensive than those for the values it has seen: name
 * one row by `=`, not by a list.
 */
export async function prepared<Row>(manager: EntityManager, statement: QueryConfig & { name: string }): Promise<Row[]> {
  if (manager.queryRunner) return (await inOneTrip(manager, [statement]))[0] as Row[];
  const runner = manager.dataSource.createQueryRunner();
  try {
    return (await inOneTrip(runner.manager, [statement]))[0] as Row[];
  } finally {
    await runner.release();
  }
}

async function rowsOf(client: PoolClient, statement: QueryConfig): Promise<unknown[]> {
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } catch (error) {
    throw new QueryFailedError(statement.text, statement.values, error as Error);
  }
}
