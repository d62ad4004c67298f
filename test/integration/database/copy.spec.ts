import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { copyOut } from '../../../src/database/copy.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const ROW_BYTES = 1_000;
/** Around what a stream of rows buffers before it stops the socket. */
const ROWS = [250, 262, 263, 265, 270, 280, 300, 330, 600];

describe('Rows that are copied out', () => {
  let database: TestDatabase;
  let client: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    client = new Client({ connectionString: database.appUrl });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  it.each(ROWS)('leave a session that answers the next statement: %d rows', async (count) => {
    const sql = `COPY (SELECT repeat('x', ${ROW_BYTES - 1}) FROM generate_series(1, ${count})) TO STDOUT`;
    const rows = copyOut(client, sql);
    // All that the socket takes has come before the first row is read.
    await sleep(100);
    let bytes = 0;
    for await (const chunk of rows) bytes += (chunk as Buffer).length;
    expect([bytes, rows.rowCount]).toEqual([count * ROW_BYTES, count]);
    const silence = sleep(15_000, 'no answer', { ref: false });
    const answer = client.query<{ one: number }>('SELECT 1 AS one').then(({ rows: [row] }) => row!.one);
    expect(await Promise.race([answer, silence])).toBe(1);
  });
});
