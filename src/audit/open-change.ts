import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import type { OpenTransaction } from '../database/transaction.js';
import { SQL_STATES, sqlState } from '../common/database-errors.js';
import { type Head, lockHead } from './append.js';
import type { Change, ChangeEntry } from './changes.js';

/** A change while its work runs: what it has recorded, and the statements that nothing has waited for yet. */
export class OpenChange implements Change {
  readonly entries: ChangeEntry[] = [];
  private readonly writes: Promise<unknown>[] = [];
  private head: Promise<Head> | null = null;

  constructor(private readonly transaction: OpenTransaction) {}

  get tx(): EntityManager {
    return this.transaction.manager;
  }

  readonly record = (entry: ChangeEntry): void => {
    this.entries.push(entry);
  };

  readonly write = (statement: Promise<unknown>): void => {
    // Heard when it is awaited, which may be later than it fails.
    statement.catch(() => undefined);
    this.writes.push(statement);
  };

  readonly lastly = async <T>(statements: Promise<T>): Promise<T> => {
    void this.lockHead();
    return statements;
  };

  /** Runs `work`. Where a write failed, its failure is thrown, and not what followed from it. */
  async run<T>(work: (change: Change) => Promise<T>): Promise<T> {
    try {
      const result = await work(this);
      // Without an entry there is no head to lock, and the commit comes next.
      if (this.entries.length === 0) await Promise.all(this.writes);
      return result;
    } catch (error) {
      // The one that failed before it tells why, this one does not.
      if (sqlState(error) === SQL_STATES.inFailedTransaction) await Promise.all(this.writes);
      throw error;
    }
  }

  /** The head row, locked behind everything the change has sent. */
  async lockedHead(): Promise<Head> {
    const head = this.lockHead();
    await Promise.all(this.writes);
    return head;
  }

  private lockHead(): Promise<Head> {
    // A turn later, so that it is sent last: what is asked for in this turn is on its way then.
    this.head ??= nextTurn().then(() => lockHead(this.transaction));
    this.head.catch(() => undefined);
    return this.head;
  }
}

/**
 * Runs `work` as a part of `change` that can fail alone: what it did is taken back then, and not recorded. Tells
 * whether it recorded anything.
 */
export async function inSavepoint<T>(
  change: Change,
  work: (part: Change) => Promise<T>,
): Promise<{ result: T; isChange: boolean }> {
  const entries: ChangeEntry[] = [];
  const result = await change.tx.transaction(async (tx) => {
    const part = new OpenPart(tx, entries);
    const answer = await work(part);
    await part.written();
    return answer;
  });
  entries.forEach(change.record);
  return { result, isChange: entries.length > 0 };
}

/** A part of a change: it ends with its savepoint, and the head is not its own to lock. */
class OpenPart implements Change {
  private readonly writes: Promise<unknown>[] = [];

  constructor(
    readonly tx: EntityManager,
    private readonly entries: ChangeEntry[],
  ) {}

  readonly record = (entry: ChangeEntry): void => {
    this.entries.push(entry);
  };

  readonly write = (statement: Promise<unknown>): void => {
    statement.catch(() => undefined);
    this.writes.push(statement);
  };

  readonly lastly = <T>(statements: Promise<T>): Promise<T> => statements;

  written(): Promise<unknown> {
    return Promise.all(this.writes);
  }
}
