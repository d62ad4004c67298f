import type { DataSource, EntityTarget } from 'typeorm';
import type { Config } from '../config/config.js';
import { dataSource } from './data-source.js';
import { findCluster } from './embedded-cluster.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';
import { APP_ROLE, migrate } from './migrate.js';
import type { SchemaLog } from './schema/runner.js';

/** An open, migrated database. */
export interface Database {
  readonly dataSource: DataSource;
  /** Where the audit trail is protected by more than its trigger and its chain. */
  readonly runsAsAppRole: boolean;
  /** Closes the pool and, if this process holds it, stops the embedded PostgreSQL. */
  close(): Promise<void>;
}

/** Connections a replica may use; PostgreSQL allows 200 in embedded mode. */
const POOL_SIZE = 20;

/**
 * Opens the configured PostgreSQL, or starts the embedded one, and migrates it. `log` gets a line for each thing that
 * the migration does or waits for.
 *
 * @throws Error with a sentence that says what to do
 */
export async function openDatabase(
  config: Config,
  entities: readonly EntityTarget<unknown>[],
  log: SchemaLog = () => undefined,
): Promise<Database> {
  if (config.databaseUrl !== null && config.databaseMigrationUrl !== null) {
    await migrate(config.databaseMigrationUrl, log);
    const role = await assumableRole(config.databaseUrl);
    const pool = await open(config.databaseUrl, entities, role);
    return { dataSource: pool, runsAsAppRole: role !== undefined, close: () => pool.destroy() };
  }
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir });
  try {
    await migrate(embedded.ownerUrl, log);
    const pool = await open(embedded.appUrl, entities);
    return {
      dataSource: pool,
      runsAsAppRole: true,
      close: async () => {
        await pool.destroy();
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
    const pool = await open(config.databaseUrl, [], await assumableRole(config.databaseUrl));
    return { dataSource: pool, close: () => pool.destroy() };
  }
  if ((await findCluster(config.dataDir)) === null) {
    throw new Error(`There is no database in ${config.dataDir}: set DATA_DIR to where it is, or DATABASE_URL.`);
  }
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir });
  try {
    const pool = await open(embedded.appUrl, []);
    return { dataSource: pool, close: () => pool.destroy().then(() => embedded.stop()) };
  } catch (error) {
    await embedded.stop();
    throw error;
  }
}

async function open(url: string, entities: readonly EntityTarget<unknown>[], role?: string): Promise<DataSource> {
  const pool = dataSource(url, { max: POOL_SIZE, entities, ...(role === undefined ? {} : { role }) });
  return pool.initialize();
}

/** The application's role, where it exists and this login may become it. */
async function assumableRole(url: string): Promise<string | undefined> {
  const probe = await dataSource(url, { max: 1 }).initialize();
  try {
    const [row] = await probe.query<unknown[]>(
      `SELECT 1 FROM pg_roles WHERE rolname = $1 AND rolname <> current_user AND pg_has_role(current_user, oid, 'MEMBER')`,
      [APP_ROLE],
    );
    return row ? APP_ROLE : undefined;
  } finally {
    await probe.destroy();
  }
}
