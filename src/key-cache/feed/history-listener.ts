import type { Poll, Position } from './change-feed.js';

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
