/**
 * Why PostgreSQL refused a statement: the SQLSTATEs that mean something here. `lint` keeps them out of every other
 * file, but for the table of what a start is refused for.
 *
 * @see PostgreSQL, Appendix A
 */
export const SQL_STATES = {
  /** Of a standby, or of a primary that takes no writes: asked again, another server may answer. */
  readOnly: '25006',
  /** A statement behind one that failed, in the same transaction. */
  inFailedTransaction: '25P02',
  /** A session said nothing in the middle of a transaction for too long, and the server ended it. */
  idleInTransaction: '25P03',
  checkViolation: '23514',
  /** A prepared statement that is not there: a pooler has put another session behind the connection. */
  unknownStatement: '26000',
  serializationFailure: '40001',
  deadlock: '40P01',
  insufficientPrivilege: '42501',
  undefinedColumn: '42703',
  undefinedFunction: '42883',
  undefinedTable: '42P01',
  diskFull: '53100',
  lockNotAvailable: '55P03',
  queryCanceled: '57014',
} as const;

/** The session is of no more use: the server ends it, or it is another one than before. */
const SESSION_ENDED = new Set<string>([
  SQL_STATES.idleInTransaction,
  SQL_STATES.unknownStatement,
  ...['57P01', '57P02', '57P03', '57P04', '57P05'],
]);

/** Classes of connections, resources, operators and the system around the server: it cannot, for the moment. */
const AWAY = /^(08|53|57P|58)/;

/** Not now: the same may succeed a moment later. */
const NOT_NOW = new Set<string>([
  SQL_STATES.queryCanceled,
  SQL_STATES.idleInTransaction,
  SQL_STATES.lockNotAvailable,
  SQL_STATES.deadlock,
  SQL_STATES.serializationFailure,
  // In a failover, what moves the address may still lead to the server that was the primary.
  SQL_STATES.readOnly,
]);

/** What TypeORM says of a connection that was lost between two statements. */
const RELEASED = new Set(['QueryRunnerAlreadyReleasedError', 'QueryRunnerProviderAlreadyReleasedError']);

/** What the driver says of a connection that was lost. */
const LOST = /Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout/;

/** Of the network: the connection was there. */
const BROKEN = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'];

/** No errno of the network begins like one. */
const STATE = /^[0-9FHPX][0-9A-Z]{4}$/;

interface Failure {
  readonly name?: string;
  readonly message?: string;
  readonly code?: unknown;
  readonly constraint?: string;
}

/** The driver's error, which TypeORM wraps. */
function causeOf(error: unknown): Failure {
  const failure = error as (Failure & { readonly driverError?: Failure }) | null | undefined;
  return failure?.driverError ?? failure ?? {};
}

/** SQLSTATE of a failed statement; empty where there is none. */
export function sqlState(error: unknown): string {
  const { code } = causeOf(error);
  return typeof code === 'string' && STATE.test(code) ? code : '';
}

/** Name of the constraint that refused a statement; undefined where none did. */
export function violatedConstraint(error: unknown): string | undefined {
  return causeOf(error).constraint;
}

/** Deadlocks and serialisation failures say nothing against the transaction: all of it may run again. */
export function isRetriable(error: unknown): boolean {
  const state = sqlState(error);
  return state === SQL_STATES.deadlock || state === SQL_STATES.serializationFailure;
}

/** Whether a row cannot hold the data (class 22). */
export function isUnfitData(error: unknown): boolean {
  return sqlState(error).startsWith('22');
}

/**
 * Whether a statement failed because its connection is lost. What was under way on it ended with it, unless it was
 * COMMIT. Errors that the server answered and after which the session goes on are none.
 */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (RELEASED.has(error.name)) return true;
  const state = sqlState(error);
  if (state !== '') return SESSION_ENDED.has(state) || state.startsWith('08');
  const { code, message = '' } = causeOf(error);
  return BROKEN.includes(String(code)) || LOST.test(message);
}

/** Whether the database cannot be had at the moment, or has no time: the same request may succeed later. */
export function isDatabaseAway(error: unknown): boolean {
  const { name, message } = error as Failure;
  if (name !== undefined && RELEASED.has(name)) return true;
  const state = sqlState(error);
  if (AWAY.test(state) || NOT_NOW.has(state)) return true;
  const cause = causeOf(error);
  if ([...BROKEN, 'ECONNREFUSED', 'ENOTFOUND'].includes(String(cause.code))) return true;
  const text = cause.message ?? message ?? '';
  return LOST.test(text) || text.includes('timeout exceeded when trying to connect');
}
