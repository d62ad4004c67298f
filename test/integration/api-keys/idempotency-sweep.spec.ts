import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { IdempotencyRepository } from '../../../src/api-keys/idempotency/idempotency.repository.js';
import { IdempotencySweep } from '../../../src/api-keys/idempotency/idempotency-sweep.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

describe('the sweep of kept answers', () => {
  let database: TestDatabase;
  let pool: DataSource;

  beforeAll(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 3 }).initialize();
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });

  const keep = (rows: number, age: string) =>
    pool.query(
      `INSERT INTO idempotency (principal_id, route, target, key_hash, payload_hash, pepper_version, status, ciphertext, created_at)
       SELECT gen_random_uuid(), 'r', '', '\\x00', '\\x00', '1', 200, '\\x00', now() - $2::interval FROM generate_series(1, $1)`,
      [rows, age],
    );
  const kept = async () =>
    (await pool.query<{ count: number }[]>('SELECT count(*)::int AS count FROM idempotency'))[0]!.count;

  it('deletes all that is older than ten minutes, in as many batches as it takes, and nothing else', async () => {
    await keep(2300, '10 minutes');
    await keep(5, '9 minutes 50 seconds');
    await new IdempotencySweep(new IdempotencyRepository(pool.manager)).sweep();
    expect(await kept()).toBe(5);
  });

  it('passes over an answer that a request is using', async () => {
    await pool.query('DELETE FROM idempotency');
    await keep(2, '11 minutes');
    const runner = pool.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT 1 FROM idempotency LIMIT 1 FOR UPDATE');
    await new IdempotencySweep(new IdempotencyRepository(pool.manager)).sweep();
    await runner.rollbackTransaction();
    await runner.release();
    expect(await kept()).toBe(1);
  });

  it('stops cleanly: no statement comes after its end', async () => {
    await pool.query('DELETE FROM idempotency');
    await keep(1, '11 minutes');
    const sweep = new IdempotencySweep(new IdempotencyRepository(pool.manager));
    sweep.onApplicationBootstrap();
    await sweep.onModuleDestroy();
    await sweep.sweep();
    expect(await kept()).toBe(1);
  });

  it('survives a database that is away', async () => {
    const away = dataSource(database.appUrl, { max: 1 });
    await away.initialize();
    await away.destroy();
    await expect(new IdempotencySweep(new IdempotencyRepository(away.manager)).sweep()).resolves.toBeUndefined();
  });
});
