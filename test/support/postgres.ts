import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

const LOOK_EVERY_MS = 50;
const MAX_LOOKS = 20;

/** The database that each test database is a copy of. */
export const TEMPLATE_DATABASE = 'template_latchkey';

/** Carries the URLs of the run's server from the global setup to the workers. */
export const TEST_SERVER_VARIABLE = 'LATCHKEY_TEST_POSTGRES';

/** A database of one test file, migrated like all others and shared with nobody. */
export interface TestDatabase {
  ownerUrl: string;
  appUrl: string;
  /** Removes the database, also from under open connections. */
  drop(): Promise<void>;
}

/** Copies the template database, or another one: `template0` is empty. Safe to call in all workers at once. */
export async function createTestDatabase(template = TEMPLATE_DATABASE): Promise<TestDatabase> {
  const server = getServer();
  const name = `test_${randomBytes(8).toString('hex')}`;
  await execute(server.ownerUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    ownerUrl: withDatabase(server.ownerUrl, name),
    appUrl: withDatabase(server.appUrl, name),
    drop: () => drop(server.ownerUrl, name),
  };
}

/** An empty directory that is removed with the run at the latest. The account PostgreSQL runs as can enter it. */
export async function createTestDirectory(): Promise<string> {
  const directory = await mkdtemp(join(getServer().directory, 'test-'));
  await chmod(directory, 0o755);
  return directory;
}

function getServer(): { ownerUrl: string; appUrl: string; directory: string } {
  const shared = process.env[TEST_SERVER_VARIABLE];
  if (shared === undefined) throw new Error('No PostgreSQL of this run: does the Jest project name the global setup?');
  return JSON.parse(shared);
}

/** A session that is ending anyway is waited for: one that is ended by force tells whatever test runs by then. */
async function drop(url: string, name: string): Promise<void> {
  const sessions = `SELECT 1 FROM pg_stat_activity WHERE datname = '${name}' LIMIT 1`;
  for (let looks = 0; looks < MAX_LOOKS && (await execute(url, sessions)) > 0; looks += 1) await sleep(LOOK_EVERY_MS);
  await execute(url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
}

/** Gives the number of rows. */
async function execute(url: string, statement: string): Promise<number> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rowCount ?? 0;
  } finally {
    await client.end();
  }
}

/** The same server and login, another database. */
export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
