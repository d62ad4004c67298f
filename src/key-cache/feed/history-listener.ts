import type { Poll, Position } from './change-feed.js';

/**
 * Whoever holds something that a change must take away: leases and permits, memory first. Called synchronously, before
 * any answer is given that could rest on the change being applied here.
 */
export interface FeedListener {
  /** This key has changed in some way: drop what is held for it. null: all keys. */
  onKeyChanged(keyId: string | null): void;
  /** The database has another history now (restore, failover): drop everything, acquire nothing for 10 s. */
  onEpochChanged(): void;
  /** The host was suspended: nothing that was to end at an instant is to be trusted. */
  onSuspended(): void;
  /** The database's clock (Unix milliseconds), as one poll has read it; the other instants are monotonic. */
  onPolled(sentAtMs: number, answeredAtMs: number, databaseNowMs: number): void;
}

/** When a poll was sent and answered, in monotonic milliseconds. */
export interface PollTiming {
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
}

/** Follows the histories of the database: what of one is missing in the next. Called synchronously, in order. */
export interface HistoryListener {
  /** A poll in the history there was before. */
  onFollowed(poll: Poll, timing: PollTiming): void;
  /** The first poll of a history; `before` is where this replica was in the one before, null in its first. */
  onHistory(poll: Poll, before: Position | null, timing: PollTiming): void;
}
