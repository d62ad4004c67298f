import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const query = async (url: string, sql: string) => {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client.query(sql).finally(() => client.end());
};

describe('A test database', () => {
  let first: TestDatabase;
  let second: TestDatabase;

  beforeAll(async () => {
    [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  });
  afterAll(() => Promise.all([first.drop(), second.drop()]));

  it('shares nothing with another', async () => {
    await query(first.ownerUrl, 'CREATE TABLE only_here ()');
    const { rows } = await query(second.ownerUrl, `SELECT to_regclass('only_here') AS found`);
    expect(rows).toEqual([{ found: null }]);
  });

  it('lets the application role in without a superuser right', async () => {
    const { rows } = await query(first.appUrl, `SELECT current_user, current_setting('is_superuser') AS superuser`);
    expect(rows).toEqual([{ current_user: 'latchkey_app', superuser: 'off' }]);
  });

  it('is dropped from under an open connection', async () => {
    const doomed = await createTestDatabase();
    const client = new Client({ connectionString: doomed.ownerUrl });
    const lost = new Promise((resolve) => client.on('error', resolve));
    await client.connect();
    await doomed.drop();
    expect(await lost).toBeInstanceOf(Error);
    await expect(query(doomed.ownerUrl, 'SELECT 1')).rejects.toMatchObject({ code: '3D000' });
  });
});
