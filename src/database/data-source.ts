import { DataSource, type DataSourceOptions, type EntityTarget } from 'typeorm';
import { connectionConfig } from './connection-config.js';
import { migrations } from './migrations.js';
import { SessionClient } from './session-client.js';
import type { SessionKind } from './session.js';

/**
 * No answer for so long, and the connection is thrown away: the network swallows everything, or the server hangs. A
 * little later than PostgreSQL itself gives a statement up (`statement_timeout`), after which the connection is as good
 * as before.
 */
const QUERY_TIMEOUT_MS = 7_000;

/** Opening a session, or waiting for one: four round trips, and those may take 500 ms. */
const CONNECT_TIMEOUT_MS = 3_000;

/** A connection that carries nothing asks its peer for a sign of life after this long: firewalls forget idle ones. */
const KEEP_ALIVE_DELAY_MS = 5_000;

/** How a pool is opened. `role` is assumed by every session; `entities` are only needed where rows are mapped. */
export interface PoolOptions {
  readonly max: number;
  readonly role?: string;
  readonly entities?: readonly EntityTarget<unknown>[];
  /** Whether statements may take as long as they take: those of migrations. */
  readonly isPatient?: boolean;
  /** Whether statements may take minutes: those of commands that read everything. */
  readonly isReader?: boolean;
}

/** Options of a connection pool on `url`. The schema comes from migrations alone. */
export function dataSourceOptions(url: string, pool: PoolOptions): DataSourceOptions {
  const kind = kindOf(pool);
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
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    // The pool has dropped the lost connection already; the next statement opens another.
    poolErrorHandler: () => undefined,
    extra: {
      Client: SessionClient,
      ...connectionConfig(url),
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
      // Statements that do not wait for each other's answers travel together.
      pipeline: true,
      ...(kind === 'pool' ? { query_timeout: QUERY_TIMEOUT_MS } : {}),
      session: { kind, ...(pool.role === undefined ? {} : { role: pool.role }) },
    },
  };
}

function kindOf({ isPatient, isReader }: PoolOptions): SessionKind {
  if (isPatient === true) return 'migration';
  return isReader === true ? 'reader' : 'pool';
}

/** A pool that is not yet connected. */
export function dataSource(url: string, pool: PoolOptions): DataSource {
  return new DataSource(dataSourceOptions(url, pool));
}
