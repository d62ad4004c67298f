import { DataSource, type DataSourceOptions, type EntityTarget } from 'typeorm';
import { migrations } from './migrations.js';

/** How a pool is opened. `role` is assumed after connecting; `entities` are only needed where rows are mapped. */
export interface PoolOptions {
  readonly max: number;
  readonly role?: string;
  readonly entities?: readonly EntityTarget<unknown>[];
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
    // The pool has dropped the lost connection already, and the next statement tells; unheard it would end the process.
    poolErrorHandler: () => undefined,
    extra: {
      // A statement that hangs must become an error within the bound protocol section 9 states.
      statement_timeout: 15_000,
      ...(pool.role === undefined ? {} : { options: `-c role=${pool.role}` }),
    },
  };
}

/** A pool that is not yet connected. */
export function dataSource(url: string, pool: PoolOptions): DataSource {
  return new DataSource(dataSourceOptions(url, pool));
}
