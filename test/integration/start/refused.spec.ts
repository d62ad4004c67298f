import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { SECRETS } from './started.js';

/** An entry point as a process of its own, from the sources. */
async function run(
  entry: string,
  environment: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['--import', './test/support/register-typescript.mjs', entry], {
    env: { PATH: process.env['PATH'], ...SECRETS, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  // The server's log goes to standard output, and says the same as a line of its own.
  if (entry !== 'src/server/main.ts') child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  else child.stdout.resume();
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

describe('What cannot work with its database', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  // audit:verify says with 1 that the trail was tampered with, so it has another code for what it could not find out.
  it.each([
    ['src/server/main.ts', 'Latchkey cannot start:\n', 1],
    ['src/cli/doctor.ts', 'The books could not be read: ', 1],
    ['src/cli/admin-reset.ts', 'The admin was not reset:\n', 1],
    ['src/cli/audit-verify.ts', 'The audit trail could not be checked: ', 2],
  ])(
    'ends with one sentence and no stack: %s',
    async (entry, head, expected) => {
      const url = new URL(database.appUrl);
      url.password = 'not-the-Passw0rd';
      const { code, output } = await run(entry, { DATABASE_URL: url.href, DATABASE_MIGRATION_URL: url.href });
      expect(output).toBe(
        `${head}PostgreSQL at ${url.host} refuses the login latchkey_app with this password: correct login and password in DATABASE_URL.\n`,
      );
      expect(code).toBe(expected);
    },
    60_000,
  );

  it('ends so for a URL with several hosts, before anything is opened', async () => {
    const { code, output } = await run('src/server/main.ts', {
      DATABASE_URL: 'postgres://u:p@db-1:5432,db-2:5432/keys',
    });
    expect(output).toBe(
      'Latchkey cannot start:\nDATABASE_URL names several hosts: give one address, such as a virtual IP, HAProxy, or a DNS name that follows the primary\n',
    );
    expect(code).toBe(1);
  }, 60_000);
});
