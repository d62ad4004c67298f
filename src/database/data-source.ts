import { DataSource, type DataSourceOptions, type EntityTarget } from 'typeorm';
import { connectionConfig } from './connection-config.js';
import { migrations } from './migrations.js';
import { SessionClient } from './session-client.js';

/** How a pool is opened. `role` is assumed by every session; `entities` are only needed where rows are mapped. */
export interface PoolOptions {
  readonly max: number;
  readonly role?: string;
  readonly entities?: readonly EntityTarget<unknown>[];
  /** Whether statements may take as long as they take: those of migrations. */
  readonly isPatient?: boolean;
}

/** Options of a connection pool on `url`. The schema comes from migrations alone. */
export function dataSourceOptions(url: string, pool: PoolOptions): DataSourceOptions {
  return {
    type: 'postgres',
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
      Client: SessionClient,
      ...connectionConfig(url),
      session: { kind: pool.isPatient === true ? 'migration' : 'pool', ...(pool.role === undefined ? {} : { role: pool.role }) },
    },
  };
}

/** A pool that is not yet connected. */
export function dataSource(url: string, pool: PoolOptions): DataSource {
  return new DataSource(dataSourceOptions(url, pool));
}
