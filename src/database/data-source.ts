import { Client, type ClientConfig } from 'pg';
import { DataSource, type DataSourceOptions, type EntityTarget } from 'typeorm';
import { migrations } from './migrations.js';

/** A statement that hangs must become an error within the bound that protocol section 9 states. */
const STATEMENT_TIMEOUT_MS = 15_000;

/** How a pool is opened. `role` is assumed after connecting; `entities` are only needed where rows are mapped. */
export interface PoolOptions {
  readonly max: number;
  readonly role?: string;
  readonly entities?: readonly EntityTarget<unknown>[];
  /** Whether statements may take as long as they take: those of migrations. */
  readonly isPatient?: boolean;
}

/**
 * A connection whose loss is always heard: the pool listens while it is idle and TypeORM while it is used, but between
 * the two nobody does for a moment, and an error that nobody hears ends the process. Whoever uses the connection next
 * gets the error of his statement.
 */
class HeardClient extends Client {
  constructor(config?: string | ClientConfig) {
    super(config);
    this.on('error', () => undefined);
  }
}

/** Options of a connection pool on `url`. The schema comes from migrations alone. */
export function dataSourceOptions(url: string, pool: PoolOptions): DataSourceOptions {
  return {
    type: 'postgres',
    url,
    entities: [...(pool.entities ?? [])] as Extract<DataSourceOptions, { type: 'postgres' }>['entities'],
    migrations,
    migrationsTableName: 'schema_migration',
    migrationsTransactionMode: 'each',
    synchronize: false,
    installExtensions: false,
    applicationName: 'latchkey',
    poolSize: pool.max,
    connectTimeoutMS: 1500,
    // The pool has dropped the lost connection already; the next statement opens another.
    poolErrorHandler: () => undefined,
    extra: {
      Client: HeardClient,
      ...(pool.isPatient === true ? {} : { statement_timeout: STATEMENT_TIMEOUT_MS }),
      ...(pool.role === undefined ? {} : { options: `-c role=${pool.role}` }),
    },
  };
}

/** A pool that is not yet connected. */
export function dataSource(url: string, pool: PoolOptions): DataSource {
  return new DataSource(dataSourceOptions(url, pool));
}
