import type { Poll, Position } from './change-feed.js';

/** When a poll was sent and answered, in monotonic milliseconds. */
export interface PollTiming {
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
}

/** What this replica, as one of several, makes of the feed. `replicas/` implements it. */
export abstract class FeedFollower {
  /**
   * Sends a heartbeat, which this replica owes the others before it may answer again; tells whether the database took
   * it. Never throws.
   */
  abstract announce(): Promise<boolean>;

  /** Changes have been applied here. */
  abstract onApplied(): void;

  /** A poll in the history there was before. Called synchronously, in order. */
  abstract onFollowed(poll: Poll, timing: PollTiming): void;

  /** The first poll of a history; `before` is where this replica was in the one before, null in its first. */
  abstract onHistory(poll: Poll, before: Position | null, timing: PollTiming): void;
}
