import type { Socket } from 'node:net';
import type { PoolClient } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';

/**
 * A transaction that ends within `maxMs`, also when PostgreSQL hangs or the network swallows everything: the
 * connection is then cut, so that neither the work nor the pool waits for an answer that never comes.
 *
 * @throws whatever `work` throws; when the connection is cut, an error of the driver. The outcome of a commit that
 *   was under way is then unknown.
 */
export async function boundedTransaction<T>(dataSource: DataSource, maxMs: number, work: (tx: EntityManager) => Promise<T>): Promise<T> {
  const runner = dataSource.createQueryRunner();
  const client = (await runner.connect()) as PoolClient;
  const timer = setTimeout(() => cut(client), maxMs);
  try {
    await runner.startTransaction();
    const result = await work(runner.manager);
    await runner.commitTransaction();
    return result;
  } catch (error) {
    await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  } finally {
    clearTimeout(timer);
    await runner.release();
  }
}

/** `client.end()` would wait for the statement that hangs; without its socket the client fails at once and is thrown away. */
function cut(client: PoolClient): void {
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
}
