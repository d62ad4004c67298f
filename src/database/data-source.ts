import { Client, type ClientConfig } from 'pg';
import { DataSource, type DataSourceOptions, type EntityTarget } from 'typeorm';
import { migrations } from './migrations.js';

/** PostgreSQL gives up a statement after this long: a little sooner than we do, and the connection stays. */
const STATEMENT_TIMEOUT_MS = 8_500;

/** No answer for so long, and the connection is thrown away: a network that swallows everything, a server that hangs. */
const QUERY_TIMEOUT_MS = 9_000;

/** For commands that look at everything: the doctor, the check of the audit trail. */
const PATIENT_READER_MS = 10 * 60_000;

/** A connection that carries nothing is asked for a sign of life after this long; NATs and firewalls forget idle ones. */
const KEEP_ALIVE_DELAY_MS = 5_000;

/** How a pool is opened. `role` is assumed after connecting; `entities` are only needed where rows are mapped. */
export interface PoolOptions {
  readonly max: number;
  readonly role?: string;
  readonly entities?: readonly EntityTarget<unknown>[];
  /** Whether statements may take as long as they take: those of migrations. */
  readonly isPatient?: boolean;
  /** Whether statements may take minutes: those of commands that read everything. */
  readonly isReader?: boolean;
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
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
      // Statements of one transaction that do not wait for each other's answers travel together.
      pipeline: true,
      ...timeoutsOf(pool),
      ...(pool.role === undefined ? {} : { options: `-c role=${pool.role}` }),
    },
  };
}

function timeoutsOf({ isPatient, isReader }: PoolOptions): { statement_timeout?: number; query_timeout?: number } {
  if (isPatient === true) return {};
  if (isReader === true) return { statement_timeout: PATIENT_READER_MS };
  return { statement_timeout: STATEMENT_TIMEOUT_MS, query_timeout: QUERY_TIMEOUT_MS };
}

/** A pool that is not yet connected. */
export function dataSource(url: string, pool: PoolOptions): DataSource {
  return new DataSource(dataSourceOptions(url, pool));
}
