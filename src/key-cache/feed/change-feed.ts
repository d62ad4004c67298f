import { type Change, type FeedRow, changeOf } from '../records/change.js';

/** What one poll has read, in one snapshot. */
export interface Poll {
  /** Rows behind the position that was asked from, in order of `seq`; as many as one poll may carry. */
  readonly rows: readonly FeedRow[];
  readonly headSeq: bigint;
  readonly epoch: string;
  /** PostgreSQL's WAL timeline: another one after every failover and restore. */
  readonly timeline: string;
  /** How far the write-ahead log is on the server's disk. It never goes back within one history. */
  readonly flushedLsn: bigint;
  /** Where the server ended to replay the log of another one; null: it was started as a primary. */
  readonly replayedLsn: bigint | null;
  /** Whether commits wait for a standby. */
  readonly isSynchronous: boolean;
  /** The database's clock, Unix milliseconds. */
  readonly databaseNowMs: number;
  /** Accounts of budgets that were marked full of late, and are full; null: too many to be told, or not asked for. */
  readonly fullBudgets: readonly string[] | null;
}

/** Where a replica stands: the last change it has applied, and in which history of the database. */
export interface Position {
  readonly seq: bigint;
  readonly epoch: string;
  readonly timeline: string;
  readonly flushedLsn: bigint;
}

/** A poll under way: taken before it is sent. */
export interface PollTicket {
  readonly sentAtMs: number;
  readonly suspensions: number;
}

/** What a poll came to: at the head, or with more rows to fetch at once, or everything started anew. */
export type PollOutcome = 'caught-up' | 'more' | 'restarted';

/**
 * How far what is remembered may be trusted: `fresh`: the head was reached within the bound. `degraded`: it was not,
 * but within the longest time allowed. `lost`: nothing may be answered from memory.
 */
export type Freshness = 'fresh' | 'degraded' | 'lost';

/** Who has to know what the feed says, before anything else is answered. Called synchronously, in order. */
export interface FeedTarget {
  apply(changes: readonly Change[]): void;
  /** Everything remembered comes from another history, `before`; null when nothing can have been remembered. */
  restart(poll: Poll, before: Position | null): void;
}

/** Bounds of a feed. */
export interface ChangeFeedOptions {
  /** Longest age of the last poll that reached the head while answers count as fresh. */
  readonly freshMs: number;
  /** Longest age while answers are given at all. */
  readonly staleMaxMs: number;
}

/** @see docs/adr/0006-memory-that-a-feed-keeps-true.md */
export const FRESH_MS = 3_000;

/**
 * How a replica learns of changes, without the I/O: it is told of polls and decides what they mean. Time is
 * monotonic milliseconds and passed in.
 *
 * An answer `fresh` at an instant means: every change committed `freshMs` before it has been applied here.
 */
export class ChangeFeed {
  private position: Position | null = null;
  private freshAtMs = Number.NEGATIVE_INFINITY;
  private failedAtMs = Number.NEGATIVE_INFINITY;
  private announcedAtMs = Number.NEGATIVE_INFINITY;
  private isUnannounced = false;
  private suspensions = 0;
  private readonly freshMs: number;

  constructor(
    private readonly options: ChangeFeedOptions,
    private readonly target: FeedTarget,
  ) {
    this.freshMs = Math.min(options.freshMs, options.staleMaxMs);
  }

  /** The last change applied here, or null before the first poll. */
  get appliedSeq(): bigint | null {
    return this.position?.seq ?? null;
  }

  /** To be taken before a poll is sent; what commits after that, the poll may miss. */
  beginPoll(nowMs: number): PollTicket {
    return { sentAtMs: nowMs, suspensions: this.suspensions };
  }

  /** Applies what a poll has read. Polls are given in the order they were sent, never two at once. */
  polled(ticket: PollTicket, poll: Poll): PollOutcome {
    const outcome = this.follows(poll) ? this.advance(poll) : this.restart(poll);
    if (outcome === 'more' || ticket.suspensions !== this.suspensions) return outcome;
    this.isUnannounced = !this.isKnownToOthers(ticket.sentAtMs);
    if (!this.isUnannounced) this.freshAtMs = Math.max(this.freshAtMs, ticket.sentAtMs);
    return outcome;
  }

  /**
   * Whether the last poll reached the head but does not count, because this replica was out of touch before: a replica
   * that waits for a change to be applied everywhere may have given it up. It has to send a heartbeat, and poll again.
   */
  get needsAnnouncement(): boolean {
    return this.isUnannounced;
  }

  /** A heartbeat of this replica has been answered by the database at this instant. */
  announced(nowMs: number): void {
    this.announcedAtMs = nowMs;
  }

  /** A poll that was sent at `ticket` has failed, or could not be sent. */
  failed(ticket: PollTicket): void {
    this.failedAtMs = Math.max(this.failedAtMs, ticket.sentAtMs);
  }

  /** The host was suspended: no age measured so far is true, that of a poll under way included. */
  suspended(): void {
    this.suspensions += 1;
    this.freshAtMs = Number.NEGATIVE_INFINITY;
    this.failedAtMs = Number.NEGATIVE_INFINITY;
    this.announcedAtMs = Number.NEGATIVE_INFINITY;
  }

  standing(nowMs: number): Freshness {
    const ageMs = nowMs - this.freshAtMs;
    if (ageMs <= this.freshMs) return 'fresh';
    return ageMs <= this.options.staleMaxMs ? 'degraded' : 'lost';
  }

  /** Milliseconds since the poll that last reached the head was sent; infinite before the first. */
  ageMs(nowMs: number): number {
    return nowMs - this.freshAtMs;
  }

  /** Whether a poll of late has failed, so that waiting for another one would only cost the caller time. */
  isKnownAway(nowMs: number): boolean {
    return this.failedAtMs > this.freshAtMs && nowMs - this.failedAtMs <= this.freshMs;
  }

  /** In touch without a break, or announced after the break and before the poll was sent. */
  private isKnownToOthers(sentAtMs: number): boolean {
    return (
      sentAtMs - this.freshAtMs <= this.freshMs ||
      (this.announcedAtMs <= sentAtMs && sentAtMs - this.announcedAtMs <= this.freshMs)
    );
  }

  private follows(poll: Poll): boolean {
    const { position } = this;
    if (position === null || poll.epoch !== position.epoch || poll.timeline !== position.timeline) return false;
    // Two standbys that were promoted one after the other may have the same timeline.
    if (poll.headSeq < position.seq || poll.flushedLsn < position.flushedLsn) return false;
    // The trail has no gaps; rows that are not there any more cannot be applied, so nothing remembered is safe.
    return (
      poll.rows.every(({ seq }, index) => seq === position.seq + BigInt(index + 1)) &&
      (poll.rows.length > 0 || poll.headSeq === position.seq)
    );
  }

  private advance(poll: Poll): PollOutcome {
    const { epoch, timeline, flushedLsn } = poll;
    const changes = poll.rows.map(changeOf).filter((change) => change !== null);
    if (changes.length > 0) this.target.apply(changes);
    const seq = poll.rows.at(-1)?.seq ?? poll.headSeq;
    this.position = { seq, epoch, timeline, flushedLsn };
    return seq === poll.headSeq ? 'caught-up' : 'more';
  }

  private restart(poll: Poll): PollOutcome {
    const before = this.position;
    const { headSeq: seq, epoch, timeline, flushedLsn } = poll;
    this.position = { seq, epoch, timeline, flushedLsn };
    this.target.restart(poll, before);
    return 'restarted';
  }
}
