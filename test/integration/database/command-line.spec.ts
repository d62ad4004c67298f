import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { runProgram } from '../../proofs/harness/program.js';
import { SECRETS } from '../start/started.js';

describe("TypeORM's command line", () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase('template0');
  });
  afterEach(() => database.drop());

  const typeorm = (
    command: string,
    environment: Record<string, string> = { ...SECRETS, DATABASE_URL: database.ownerUrl },
  ) =>
    runProgram(
      [
        '--import',
        './test/support/register-typescript.mjs',
        'node_modules/typeorm/cli.js',
        ...command.split(' '),
        '-d',
        'ormconfig.ts',
      ],
      environment,
    );
  const execute = async (sql: string) => {
    const client = new Client({ connectionString: database.ownerUrl });
    await client.connect();
    return client.query<Record<string, unknown>>(sql).finally(() => client.end());
  };

  it('migrates with our runner, which keeps checksums and makes functions', async () => {
    const { code, output } = await typeorm('migration:run');
    expect(output).toMatch(/Made the schema: \d+ migrations, in \d+\.\d s\./);
    expect(code).toBe(0);
    const { rows } = await execute('SELECT kind FROM schema_checksum GROUP BY kind ORDER BY kind');
    expect(rows).toEqual([{ kind: 'function' }, { kind: 'migration' }]);
    await execute('DROP INDEX session_user_idx');
    const again = await typeorm('migration:run');
    expect(again.output).toContain('The schema of this database was edited: index session_user_idx is missing.');
    expect(again.output).not.toContain('    at ');
    expect(again.code).toBe(1);
  });

  it.each([
    ['migration:run --fake', 'A migration cannot be noted without being run'],
    ['migration:revert', 'Migrations are not undone'],
    ['schema:sync', 'The schema is changed by migrations alone'],
    ['schema:drop', 'This command does not delete data'],
  ])('refuses %s with a sentence, and changes nothing', async (command, sentence) => {
    const { code, output } = await typeorm(command);
    expect(output).toContain(sentence);
    expect(output).not.toContain('    at ');
    expect(code).toBe(1);
    expect(
      (await execute(`SELECT count(*)::int AS count FROM pg_class WHERE relnamespace = 'public'::regnamespace`)).rows,
    ).toEqual([{ count: 0 }]);
  });

  it('says in words which setting is missing', async () => {
    const { code, output } = await typeorm('migration:show', { DATABASE_URL: database.ownerUrl });
    expect(output).toContain('JWT_SECRET must be given with DATABASE_URL');
    expect(output).not.toContain('    at ');
    expect(code).toBe(1);
  });
});
