import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { dataSource } from '../../../src/database/data-source.js';
import { LiveConnection } from '../../../src/database/live-connection.js';
import { sessionConfigOf } from '../../../src/database/session-config.js';
import { type SessionKind, sessionSettings } from '../../../src/database/session.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const KINDS: SessionKind[] = ['pool', 'reader', 'migration', 'data-plane', 'single'];
/** For one statement, on a machine that is busy with other things. */
const STATEMENT_MS = 15_000;

describe('A session', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
    // What an operator, or a managed service, may have set for all logins of a database.
    const owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    const name = new URL(database.ownerUrl).pathname.slice(1);
    for (const setting of [
      `TimeZone = 'Asia/Kathmandu'`,
      `DateStyle = 'German'`,
      `default_transaction_isolation = 'serializable'`,
      `statement_timeout = '500ms'`,
      `idle_session_timeout = '500ms'`,
      `lock_timeout = '1ms'`,
    ])
      await owner.query(`ALTER DATABASE ${name} SET ${setting}`);
    await owner.end();
  });
  afterAll(() => database.drop());

  it.each(KINDS)('has every setting of its kind, whatever the database has for a default: %s', async (kind) => {
    const pool = dataSource(database.ownerUrl, { max: 1, role: 'latchkey_app', isPatient: kind === 'migration' });
    const config = sessionConfigOf(pool, 'test', kind);
    const connection = new LiveConnection(config);
    try {
      const wanted = sessionSettings(config.session);
      expect(wanted).toMatchObject({ role: 'latchkey_app', TimeZone: 'UTC' });
      const rows = await connection.query<{ name: string; value: string }>(
        {
          text: 'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name',
          values: [Object.keys(wanted)],
        },
        STATEMENT_MS,
      );
      expect(Object.fromEntries(rows.map(({ name, value }) => [name, value]))).toEqual(wanted);
      const [who] = await connection.query<{ who: string }>({ text: 'SELECT current_user AS who' }, STATEMENT_MS);
      expect(who!.who).toBe('latchkey_app');
    } finally {
      await connection.close();
    }
  });

  it('of the pool has them as well, each time one is opened', async () => {
    const pool = await dataSource(database.appUrl, { max: 2 }).initialize();
    try {
      const shown = await Promise.all(
        [1, 2].map(() =>
          pool.query<{ now: Date; zone: string; timeout: string }[]>(
            `SELECT now() AS now, current_setting('TimeZone') AS zone, current_setting('statement_timeout') AS timeout, pg_sleep(0.6)`,
          ),
        ),
      );
      for (const [row] of shown) expect(row).toMatchObject({ now: expect.any(Date), zone: 'UTC', timeout: '6500ms' });
    } finally {
      await pool.destroy();
    }
  });

  it('that may not assume its role is not opened', async () => {
    const pool = dataSource(database.appUrl, { max: 1, role: 'pg_read_all_data' });
    await expect(pool.initialize()).rejects.toThrow('permission denied to set role');
  });
});
