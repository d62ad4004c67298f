import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Caller } from '../access/caller.js';
import { NARROWING_ACTS } from '../access/narrowing-acts.js';
import { Config } from '../config/config.js';
import { unavailable } from '../common/domain-error.js';
import { Lane, LaneFull, type Leave } from '../common/lane.js';
import { ConnectionLostError, inTransactionBehind, OutcomeUnknownError } from '../database/transaction.js';
import { isRetriable } from '../common/database-errors.js';
import { type ActEntry, commitActs } from './append.js';
import { OpenChange } from './open-change.js';
import { outcomeUnknown } from './outcome-unknown.js';
import { RetryTransaction } from './retry-transaction.js';

/** The channel that wakes replicas; the rows themselves are the message. */
export const CHANGE_CHANNEL = 'latchkey_changes';

/** One change for the trail. */
export type ChangeEntry = ActEntry;

/** A change in progress: work in `tx`, and say what was done by `record`. */
export interface Change {
  readonly tx: EntityManager;
  readonly record: (entry: ChangeEntry) => void;
  /**
   * Takes a write that is under way and whose answer decides nothing: it travels with what comes after it, and is
   * awaited before the commit. The change fails if it fails.
   */
  readonly write: (statement: Promise<unknown>) => void;
  /** Gives what `statements` give, the last of the change: the head row is locked in the same round trip. */
  readonly lastly: <T>(statements: Promise<T>) => Promise<T>;
}

/** What a change came to: its result, and the `seq` by which a replica has applied it (null: nothing changed). */
export interface Committed<T> {
  readonly result: T;
  readonly seq: string | null;
}

/** Attempts of a change that met a deadlock, or whose locks were chosen by what has moved since. */
const MAX_ATTEMPTS = 4;
/** Connections that a change may lose before it is refused: the second one finds a pool without dead connections. */
const MAX_LOST_CONNECTIONS = 1;
/** A change has this long with all its attempts, so that a caller has an answer within 10 s whatever hangs. */
const MAX_CHANGE_MS = 7_000;
/** An attempt that would have less than this is not begun. */
const LEAST_ATTEMPT_MS = 500;
const NOTHING = (): Promise<void> => Promise.resolve();
/** How long one statement of a change waits for a lock. */
const LOCK_MS = 2_000;
/** A change that says nothing for so long loses its locks: the process behind it is frozen, or cut off. */
const IDLE_MS = 2_000;

/**
 * Changes that this replica makes at the same time. They end one after the other, at the head: what takes access away
 * waits behind these few at most, and those of one party are fewer.
 */
const ORDINARY_LANE = { running: 8, runningOfOne: 4, waitingOfOne: 1_000 } as const;
const NARROWING_LANE = { running: 4, runningOfOne: 2, waitingOfOne: 1_000 } as const;

/**
 * The only door to a management change. The change and its audit rows commit together or not at all, and
 * the audit rows are the change feed: the head row is locked last, so that order of `seq` is order of
 * commit, without gaps.
 *
 * @see docs/adr/0003-audit-chain-and-change-feed.md
 */
@Injectable()
export class Changes {
  private readonly ordinary = new Lane(ORDINARY_LANE);
  private readonly narrowing = new Lane(NARROWING_LANE);

  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Config,
  ) {}

  /**
   * Runs `work` in one transaction and appends what it recorded. A change that recorded nothing leaves no
   * trace and wakes nobody. `work` may run more than once and must have no effect but through `tx`; it hashes no
   * password, touches no file and waits for no replica, because others wait for its locks.
   *
   * @throws DomainError 503 UNAVAILABLE when nothing was changed: a lock is not to be had within 2 s, or the database
   * is
   *   away; 503 OUTCOME_UNKNOWN when the commit was sent and not answered within 7 s
   */
  async transaction<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<T> {
    return (await this.commit(caller, work)).result;
  }

  /** As `transaction`, telling the sequence number of the change as well. */
  async commit<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<Committed<T>> {
    return this.commitBehind(caller, NOTHING, work);
  }

  /**
   * As `commit`, after what `first` reads and locks, which saves a round trip. `first` writes nothing.
   *
   * @see inTransactionBehind
   */
  async commitBehind<F, T>(
    caller: Caller,
    first: (tx: EntityManager) => Promise<F>,
    work: (change: Change, found: F) => Promise<T>,
  ): Promise<Committed<T>> {
    const deadlineMs = performance.now() + MAX_CHANGE_MS;
    const leave = await this.enter(caller);
    try {
      return await this.commitBefore(deadlineMs, () => this.attempt(caller, first, work, deadlineMs));
    } finally {
      leave();
    }
  }

  /** What takes access away has a lane of its own. */
  private async enter(caller: Caller): Promise<Leave> {
    const lane = caller.action !== null && NARROWING_ACTS.has(caller.action) ? this.narrowing : this.ordinary;
    try {
      return await lane.enter(partyOf(caller), MAX_CHANGE_MS - LEAST_ATTEMPT_MS);
    } catch (error) {
      if (!(error instanceof LaneFull)) throw error;
      throw unavailable('Too many changes are under way, so nothing was changed. Send the request again.', error);
    }
  }

  private async commitBefore<T>(deadlineMs: number, tried: () => Promise<Committed<T>>): Promise<Committed<T>> {
    let lost = 0;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await tried();
      } catch (error) {
        if (error instanceof OutcomeUnknownError) throw outcomeUnknown(error);
        if (error instanceof ConnectionLostError) lost += 1;
        const mayRunAgain = lost <= MAX_LOST_CONNECTIONS && attempt < MAX_ATTEMPTS && isWorthAnother(error);
        if (mayRunAgain && performance.now() < deadlineMs - LEAST_ATTEMPT_MS) continue;
        throw error instanceof ConnectionLostError ? notMade(error) : error;
      }
    }
  }

  private attempt<F, T>(
    caller: Caller,
    first: (tx: EntityManager) => Promise<F>,
    work: (change: Change, found: F) => Promise<T>,
    deadlineMs: number,
  ): Promise<Committed<T>> {
    const bounds = { lockMs: LOCK_MS, idleMs: IDLE_MS, deadlineMs };
    return inTransactionBehind(this.dataSource, bounds, first, async (tx, found) => {
      const change = new OpenChange(tx);
      const result = await change.run((open) => work(open, found));
      if (change.entries.length === 0) return { result, seq: null };
      const acts = change.entries.map((entry) => ({ caller, entry }));
      return {
        result,
        seq: await commitActs(tx, this.config.auditKeys, acts, CHANGE_CHANNEL, await change.lockedHead()),
      };
    });
  }
}

/** Who has a share of the lanes: a principal, or the address of a caller without one. */
function partyOf({ principal, ip }: Caller): string {
  return principal === null ? `address ${ip ?? 'none'}` : `${principal.kind} ${principal.id}`;
}

/** Whether the same change may succeed a moment later, for nothing of it was made. */
function isWorthAnother(error: unknown): boolean {
  return isRetriable(error) || error instanceof RetryTransaction || error instanceof ConnectionLostError;
}

function notMade(error: ConnectionLostError) {
  return unavailable('The connection to the database was lost, so nothing was changed. Send the request again.', error);
}
