import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { APP_ROLE } from '../../../src/database/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

/** Functions that work with the rights of the schema's owner. */
const OWNER_FUNCTIONS = `
  SELECT p.oid::regprocedure::text AS name FROM pg_proc p
   WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef`;

describe('Functions that work with the rights of the schema’s owner', () => {
  const reporting = `reporting_${randomBytes(6).toString('hex')}`;
  let database: TestDatabase;
  let owner: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    await owner.query(`CREATE ROLE ${reporting}`);
    await owner.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${reporting}`);
  });
  afterAll(async () => {
    await owner.query(`DROP OWNED BY ${reporting}; DROP ROLE ${reporting}`);
    await owner.end();
    await database.drop();
  });

  const namesOf = async (condition: string, values: string[] = []): Promise<string[]> => {
    const { rows } = await owner.query<{ name: string }>(`${OWNER_FUNCTIONS} AND ${condition} ORDER BY 1`, values);
    return rows.map(({ name }) => name);
  };

  it('are for the application alone: no other login may call one', async () => {
    expect((await namesOf('true')).length).toBeGreaterThanOrEqual(6);
    expect(await namesOf(`has_function_privilege($1, p.oid, 'EXECUTE')`, [reporting])).toEqual([]);
    // These are called by those that go by the owner's rows.
    const bare = ['audit_seal', 'usage_event_archive', 'usage_event_archive_2'];
    const closed = await namesOf(`NOT has_function_privilege($1, p.oid, 'EXECUTE')`, [APP_ROLE]);
    expect(closed.map((name) => name.split('(')[0])).toEqual(bare);
  });

  it('look for tables where nobody else can make any', async () => {
    expect(await namesOf(`coalesce(array_to_string(p.proconfig, ';'), '') !~ 'search_path=.*public, pg_temp'`)).toEqual(
      [],
    );
  });

  it('refuse a login for reports, which may read all tables', async () => {
    await owner.query(`SET ROLE ${reporting}`);
    try {
      for (const call of [
        `usage_event_archive('2020-01-01', 'file', sha256('file'), 0, 0, 0, 0, 0)`,
        `usage_event_archive_2('2020-01-01', 'file', sha256('file'), 0, 0, 0, 0, 0)`,
        `usage_event_prepare(24, '2020-01-01')`,
        `usage_event_archive_3('2020-01-01', 'file', sha256('file'), 0, 0, 0, 0, 0)`,
        `audit_seal_2(1, sha256('file'), '{}')`,
        'refused_calls_prepare()',
        'audit_kept_digest()',
      ])
        await expect(owner.query(`SELECT ${call}`)).rejects.toMatchObject({ code: '42501' });
    } finally {
      await owner.query('RESET ROLE');
    }
  });
});
