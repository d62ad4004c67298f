import type { DataSource, EntityTarget } from 'typeorm';
import type { Config } from '../config/config.js';
import { untilAborted } from '../common/until-aborted.js';
import { checkSchemaAccess, findAppRole } from './app-role.js';
import { connectionConfig } from './connection-config.js';
import { examineConnection } from './connection-checks.js';
import { knownRefusal } from './connection-refusals.js';
import { dataSource, type PoolOptions } from './data-source.js';
import { type EmbeddedPostgres, findCluster, startEmbeddedPostgres } from './embedded-postgres.js';
import {
  type DatabaseAddress,
  firstConnection,
  NO_PATIENCE,
  type Patience,
  patiently,
  targetOf,
} from './first-connection.js';
import { migrate } from './migrate.js';
import { checkMigrationRights } from './migration-rights.js';
import { type OwnerTerms, ownerTermsOf } from './owner-terms.js';
import { checkPooling } from './pooling-check.js';
import type { SchemaLog } from './schema/runner.js';
import { checkServer } from './server-check.js';
import { SessionClient } from './session-client.js';
import { POOL_SIZE } from './session-supply.js';
import { SilentConnections } from './silent-connections.js';
import { refuseUnfinishedRestore } from './unfinished-restore.js';

/** An open, migrated database. */
export interface Database {
  readonly dataSource: DataSource;
  /** Sentences on what works less well than it could, each with what to do. */
  readonly warnings: readonly string[];
  /** The PostgreSQL that came with the server; null: one of the operator's own. */
  readonly embedded: EmbeddedPostgres | null;
  /** Closes the pool and, if this process holds it, stops the embedded PostgreSQL. */
  close(): Promise<void>;
}

/** How a database is opened. */
export interface OpenOptions {
  /** Gets one sentence for each thing worth telling an operator: what the migration does, and what is waited for. */
  readonly log?: SchemaLog;
  /** How long a database that is not there yet is waited for. Default: not at all. */
  readonly maxWaitMs?: number;
  /** A server: its settings say how much of the trail and of usage may be removed. A command leaves that as it is. */
  readonly isServer?: boolean;
  /** Gives up waiting, for a migration of another process as well. */
  readonly signal?: AbortSignal;
}

/**
 * Opens the configured PostgreSQL, or starts the embedded one, and migrates it.
 *
 * @throws StartRefusal with a sentence that says what to do; the reason of `signal` when that was aborted
 */
export async function openDatabase(
  config: Config,
  entities: readonly EntityTarget<unknown>[],
  options: OpenOptions = {},
): Promise<Database> {
  const { databaseUrl, databaseMigrationUrl } = config;
  if (databaseUrl === null || databaseMigrationUrl === null) return openEmbedded(config, entities, options);
  return openGiven(databaseUrl, databaseMigrationUrl, entities, options, termsOf(config, options));
}

function termsOf(config: Config, { isServer = false }: OpenOptions): OwnerTerms {
  return isServer ? ownerTermsOf(config) : {};
}

/** A PostgreSQL of the operator's own. */
async function openGiven(
  url: string,
  migrationUrl: string,
  entities: readonly EntityTarget<unknown>[],
  { log, maxWaitMs = 0, signal }: OpenOptions,
  terms: OwnerTerms,
): Promise<Database> {
  const patience: Patience = { maxWaitMs, log, signal };
  const address = addressOf(url, 'DATABASE_URL');
  const isApart = migrationUrl !== url;
  const owner = isApart ? addressOf(migrationUrl, 'DATABASE_MIGRATION_URL') : address;
  await migrateAt(owner, migrationUrl, patience, terms);
  // The other login may be one that the first was not: another host, no password yet.
  if (isApart) await close(await firstConnection(address, patience));
  const { appRole, warnings } = await patiently(() => examineConnection(address), patience);
  const pool = await open(url, 'DATABASE_URL', entities, appRole.role);
  return { ...pool, warnings, embedded: null };
}

async function openEmbedded(
  config: Config,
  entities: readonly EntityTarget<unknown>[],
  options: OpenOptions,
): Promise<Database> {
  const { dataDir } = config;
  const { log, signal } = options;
  await refuseUnfinishedRestore(dataDir);
  const embedded = await startEmbeddedPostgres({ dataDir, ...(log === undefined ? {} : { log }) });
  try {
    await untilAborted(migrate(embedded.ownerUrl, log, termsOf(config, options)), signal);
    const pool = await open(embedded.appUrl, 'DATA_DIR', entities);
    return {
      dataSource: pool.dataSource,
      warnings: [],
      embedded,
      close: async () => {
        await pool.close();
        await embedded.stop();
      },
    };
  } catch (error) {
    await embedded.stop();
    throw error;
  }
}

/**
 * Opens the database as it is, for commands that look and change nothing: no migration, and no empty database
 * where there is none.
 *
 * @throws Error with a sentence that says what to do
 */
export async function openForReading(config: Config): Promise<Pick<Database, 'dataSource' | 'close'>> {
  if (config.databaseUrl !== null) {
    const address = addressOf(config.databaseUrl, 'DATABASE_URL');
    const session = await firstConnection(address, NO_PATIENCE);
    try {
      const { role } = await findAppRole(session);
      if (role !== undefined) await session.query(`SET ROLE ${role}`);
      await checkSchemaAccess(session, address);
      const pool = await openReader(config.databaseUrl, address.setting, role);
      return { dataSource: pool, close: () => pool.destroy() };
    } finally {
      await close(session);
    }
  }
  if ((await findCluster(config.dataDir)) === null) {
    throw new Error(`There is no database in ${config.dataDir}: set DATA_DIR to where it is, or DATABASE_URL.`);
  }
  await refuseUnfinishedRestore(config.dataDir);
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir });
  try {
    const pool = await openReader(embedded.appUrl, 'DATA_DIR');
    return { dataSource: pool, close: () => pool.destroy().then(() => embedded.stop()) };
  } catch (error) {
    await embedded.stop();
    throw error;
  }
}

function addressOf(url: string, setting: string): DatabaseAddress {
  return { connection: connectionConfig(url), setting };
}

async function migrateAt(address: DatabaseAddress, url: string, patience: Patience, terms: OwnerTerms): Promise<void> {
  const session = await firstConnection(address, patience);
  try {
    await checkServer(session, address);
    await checkMigrationRights(session, address);
  } finally {
    await close(session);
  }
  // Migrations run under a lock that belongs to a session.
  await checkPooling(address);
  await untilAborted(migrate(url, patience.log, terms), patience.signal);
}

/** The pool of a server, which looks for connections that have gone silent. */
async function open(
  url: string,
  setting: string,
  entities: readonly EntityTarget<unknown>[],
  role?: string,
): Promise<Pick<Database, 'dataSource' | 'close'>> {
  const pool = await openPool(url, setting, { max: POOL_SIZE, entities, ...(role === undefined ? {} : { role }) });
  const watch = new SilentConnections(pool);
  // A silent connection would also keep the pool from its end.
  return { dataSource: pool, close: () => pool.destroy().finally(() => watch.stop()) };
}

/** The pool of a command that looks at everything there is, however long that takes. */
function openReader(url: string, setting: string, role?: string): Promise<DataSource> {
  return openPool(url, setting, { max: POOL_SIZE, isReader: true, ...(role === undefined ? {} : { role }) });
}

async function openPool(url: string, setting: string, options: PoolOptions): Promise<DataSource> {
  try {
    return await dataSource(url, options).initialize();
  } catch (error) {
    throw (
      knownRefusal(
        error,
        targetOf(new SessionClient({ ...connectionConfig(url), session: { kind: 'pool' } }), setting),
      ) ?? error
    );
  }
}

async function close(session: SessionClient): Promise<void> {
  await session.end().catch(() => undefined);
}
