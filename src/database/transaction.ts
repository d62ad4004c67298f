import { DatabaseError, type PoolClient, type QueryConfig } from 'pg';
import { type DataSource, type EntityManager, QueryFailedError, type QueryRunner } from 'typeorm';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inTurn } from '../common/in-turn.js';
import { isConnectionLost, SQL_STATES, sqlState } from '../common/database-errors.js';
import { cut, isUnsent, socketOf } from './lost-connection.js';
import type { SessionClient } from './session-client.js';
import { writeTogether } from './write-together.js';

/** How long a transaction may keep others waiting. */
export interface TransactionBounds {
  /** How long one statement waits for a lock, in milliseconds. */
  readonly lockMs: number;
  /**
   * PostgreSQL ends the session after this many milliseconds without a statement. A replica that is frozen, or behind a
   * network that swallows everything, thereby loses its locks.
   */
  readonly idleMs: number;
  /** How long one statement may take, in milliseconds; absent: as long as every statement of the pool. */
  readonly statementMs?: number;
  /** The transaction is over by then, whatever hangs; by `performance.now()`. */
  readonly deadlineMs: number;
}

/** COMMIT was sent, and no answer came: the transaction may have been made or not. */
export class OutcomeUnknownError extends Error {
  constructor(cause: unknown) {
    super('The connection was lost while a transaction was committed.', { cause });
    this.name = 'OutcomeUnknownError';
  }
}

/** The connection was lost before COMMIT could count: the transaction was not made, and may run again. */
export class ConnectionLostError extends Error {
  constructor(cause: unknown) {
    super('The connection was lost within a transaction, which was not made.', { cause });
    this.name = 'ConnectionLostError';
  }
}

/**
 * Runs `work` in a transaction of its own, and commits. TypeORM's `transaction` would wait without end for a server
 * that does not answer; here the connection is cut at the deadline, which undoes what was not committed.
 *
 * @throws ConnectionLostError when the transaction was not made because its connection was lost
 * @throws OutcomeUnknownError when nobody can tell
 * @throws what `work` throws; QueryFailedError for what the server refused
 */
export async function inTransaction<T>(
  dataSource: DataSource,
  bounds: TransactionBounds,
  work: (tx: OpenTransaction) => Promise<T>,
): Promise<T> {
  return inTransactionBehind(dataSource, bounds, NOTHING, work);
}

const NOTHING = (): Promise<void> => Promise.resolve();

/**
 * As {@link inTransaction}, after what `first` reads and locks, which travels with BEGIN: a round trip less. `first`
 * writes nothing: where BEGIN fails, PostgreSQL runs what travels behind it outside of a transaction. `work` gets what
 * it found.
 */
export async function inTransactionBehind<F, T>(
  dataSource: DataSource,
  bounds: TransactionBounds,
  first: (manager: EntityManager) => Promise<F>,
  work: (tx: OpenTransaction, found: F) => Promise<T>,
): Promise<T> {
  const runner = dataSource.createQueryRunner();
  const client = (await runner.connect()) as PoolClient & SessionClient;
  const tx = new OpenTransaction(runner, client);
  const timer = setTimeout(() => cut(client), Math.max(1, bounds.deadlineMs - performance.now()));
  // The deadline bounds the wait for what may take longer than other statements.
  const answerMs = bounds.statementMs === undefined ? null : client.waitFor(undefined);
  try {
    const [, found] = await inTurn([tx.begin(bounds), first(tx.manager)]);
    const result = await work(tx, found);
    await tx.commit();
    return result;
  } catch (error) {
    throw await tx.end(error);
  } finally {
    clearTimeout(timer);
    if (answerMs !== null) client.waitFor(answerMs);
    await tx.release();
  }
}

/** A transaction under way. */
export class OpenTransaction {
  /** What the first round trip took, which opened the transaction. */
  roundTripMs = 0;
  private state: 'open' | 'committing' | 'over' = 'open';
  private isLost = false;

  constructor(
    private readonly runner: QueryRunner,
    private readonly client: PoolClient,
  ) {}

  /** What is done by it is part of the transaction. */
  get manager(): EntityManager {
    return this.runner.manager;
  }

  /** Opens it, together with its bounds: one round trip. */
  async begin({ lockMs, idleMs, statementMs }: TransactionBounds): Promise<void> {
    const sentMs = performance.now();
    // As TypeORM's `startTransaction` would leave it: a transaction inside this one is a savepoint.
    Object.assign(this.runner, { isTransactionActive: true, transactionDepth: 1 });
    writeTogether(this.client);
    await this.client.query(
      `BEGIN; SET LOCAL lock_timeout = ${lockMs}; SET LOCAL idle_in_transaction_session_timeout = ${idleMs}` +
        (statementMs === undefined ? '' : `; SET LOCAL statement_timeout = ${statementMs}`),
    );
    this.roundTripMs = performance.now() - sentMs;
  }

  /**
   * Commits. `last` is a statement that travels in front of COMMIT, without a round trip of its own: the locks it needs
   * are given up at once. A second call does nothing.
   *
   * @throws as {@link inTransaction}
   */
  async commit(last?: QueryConfig): Promise<void> {
    if (this.state !== 'open') return;
    // A process that stood still hears first what the server did meanwhile: a session that has ended commits nothing.
    await nextTurn();
    if (this.runner.isReleased || socketOf(this.client).destroyed)
      throw new ConnectionLostError(new Error('The session had ended before COMMIT was sent.'));
    this.state = 'committing';
    writeTogether(this.client);
    const before = last && this.client.query(last);
    const committed = this.client.query('COMMIT');
    // Awaited below, unless `before` fails: then it says the same.
    committed.catch(() => undefined);
    await before?.catch((error: unknown) => {
      throw this.refused(error, last!.text, true);
    });
    const { command } = await committed.catch((error: unknown) => {
      throw this.refused(error, 'COMMIT', sqlState(error) === SQL_STATES.idleInTransaction);
    });
    this.state = 'over';
    if (command !== 'COMMIT') throw new Error('A statement had failed before the transaction was committed.');
  }

  /** Takes back what was not committed. Returns `error`, or what it means where the connection is lost. */
  async end(error: unknown): Promise<unknown> {
    const isKnown = error instanceof OutcomeUnknownError || error instanceof ConnectionLostError;
    if (!isKnown && this.state === 'open' && isConnectionLost(error)) return this.end(new ConnectionLostError(error));
    this.isLost = isKnown;
    if (this.state === 'open' && !isKnown) await this.client.query('ROLLBACK').catch(() => (this.isLost = true));
    return error;
  }

  /** Gives the connection back, or throws it away. */
  async release(): Promise<void> {
    if (this.isLost) cut(this.client);
    await (
      this.runner as unknown as { releasePostgresConnection(error?: Error): Promise<void> }
    ).releasePostgresConnection(this.isLost ? new Error('The connection is lost.') : undefined);
  }

  /**
   * What an error of the last two statements means. Answers come in order, so one to the statement before COMMIT proves
   * that nothing was made. A write that failed proves it too: COMMIT is the last thing that is written. To COMMIT
   * itself a server that shuts down may answer after it was made.
   *
   * @param provesNotMade whether an answer that ends the session shows that nothing was made
   */
  private refused(error: unknown, statement: string, provesNotMade: boolean): Error {
    if (isUnsent(error)) return new ConnectionLostError(error);
    if (!(error instanceof DatabaseError)) return new OutcomeUnknownError(error);
    if (isConnectionLost(error)) return provesNotMade ? new ConnectionLostError(error) : new OutcomeUnknownError(error);
    this.state = 'over';
    return new QueryFailedError(statement, [], error);
  }
}
