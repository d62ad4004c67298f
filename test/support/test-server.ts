import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { startEmbeddedPostgres, stopAbandonedPostgres } from '../../src/database/embedded-postgres.js';
import { APP_ROLE } from '../../src/database/application.js';
import { TEMPLATE_DATABASE, TEST_SERVER_VARIABLE } from './postgres.js';
import { prepareTemplate } from './template.js';

const DIRECTORY_PREFIX = 'latchkey-test-run-';

/** Nothing of a test outlives its run, so nothing has to reach the disk. */
const SETTINGS = {
  ...{ fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
  // Of all workers' replicas, each of which uses up to 32: what a start says of free sessions is of itself.
  max_connections: '400',
};

/** A PostgreSQL that is there already, as its superuser, to run the tests on instead of the embedded one. */
const FOREIGN_SERVER_VARIABLE = 'TEST_DATABASE_URL';

/** What tests need of a PostgreSQL. */
interface Server {
  readonly ownerUrl: string;
  readonly appUrl: string;
  stop(): Promise<void>;
}

/**
 * Starts the one PostgreSQL of a test run in a fresh directory, with its template database, and tells the workers of
 * it by an environment variable. Returns what stops it and deletes the directory.
 */
export async function startTestServer(): Promise<() => Promise<void>> {
  await removeAbandonedRuns();
  const dataDir = await mkdtemp(join(tmpdir(), DIRECTORY_PREFIX));
  // The account of an embedded PostgreSQL that a test starts must get to it.
  await chmod(dataDir, 0o755);
  const removeDirectory = () => rm(dataDir, { recursive: true, force: true });
  try {
    const foreign = process.env[FOREIGN_SERVER_VARIABLE];
    const server =
      foreign === undefined ? await startEmbeddedPostgres({ dataDir, settings: SETTINGS }) : await useServer(foreign);
    const stop = () => server.stop().then(removeDirectory);
    try {
      await prepareTemplate(server.ownerUrl);
    } catch (error) {
      await stop();
      throw error;
    }
    process.env[TEST_SERVER_VARIABLE] = JSON.stringify({
      ownerUrl: server.ownerUrl,
      appUrl: server.appUrl,
      directory: dataDir,
    });
    return stop;
  } catch (error) {
    await removeDirectory();
    throw error;
  }
}

/** A role for the application with a password for this run, and no template of an earlier one. */
async function useServer(ownerUrl: string): Promise<Server> {
  const password = randomBytes(18).toString('hex');
  const execute = async (...statements: string[]) => {
    const client = new Client({ connectionString: ownerUrl });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  };
  const dropTemplate = `DROP DATABASE IF EXISTS ${TEMPLATE_DATABASE} WITH (FORCE)`;
  await execute(
    dropTemplate,
    `DO $$ BEGIN CREATE ROLE ${APP_ROLE} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
    `ALTER ROLE ${APP_ROLE} PASSWORD '${password}'`,
  );
  const appUrl = new URL(ownerUrl);
  appUrl.username = APP_ROLE;
  appUrl.password = password;
  return { ownerUrl, appUrl: appUrl.href, stop: () => execute(dropTemplate) };
}

/**
 * A run that was killed had no teardown: the next one ends its server and removes its directory. A server that a test
 * started below the directory ends by itself, because PostgreSQL looks every minute whether its lock file is there.
 */
async function removeAbandonedRuns(): Promise<void> {
  const parent = await realpath(tmpdir());
  for (const name of await readdir(parent)) {
    if (!name.startsWith(DIRECTORY_PREFIX)) continue;
    const dataDir = join(parent, name);
    try {
      if (await stopAbandonedPostgres(dataDir)) await rm(dataDir, { recursive: true, force: true });
    } catch (error) {
      // Of another user, whose own run will clean up.
      if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}
