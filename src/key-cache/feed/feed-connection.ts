import { setTimeout as sleep } from 'node:timers/promises';
import { CHANGE_CHANNEL } from '../../audit/changes.js';
import { LiveConnection } from '../../database/live-connection.js';
import type { SessionConfig } from '../../database/session-client.js';
import type { ChangeFeed, Poll, PollOutcome, PollTicket } from './change-feed.js';
import { FEED_COLUMNS, FULL_BUDGETS, IMPORTED_MACS, LIMIT_TARGET, type StoredFeedRow, feedRowOf } from './feed-rows.js';

/** Without a notice, the head is looked at this often. */
const POLL_EVERY_MS = 500;
const POLL_TIMEOUT_MS = 1_000;
/**
 * Pauses between failed attempts; with the time an attempt may take, the feed is back 2 s after the database at the
 * latest.
 */
const BACKOFF_MS = [25, 50, 100, 200, 400, 500] as const;
/** Rows that one poll may carry; behind by more, it polls again at once. */
const MAX_ROWS = 1_000;

/**
 * For so long polls do not ask for full budgets after one that did has failed, twice as long each time: while their
 * table is locked, or lacks what is asked for, keys without a budget go on to be verified.
 */
const WITHOUT_BUDGETS_MS = { least: 500, most: 8_000 };

const pollWith = (fullBudgets: string) => `
  SELECT head.seq, head.epoch, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS timeline,
         pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') AS flushed_lsn,
         pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') AS replayed_lsn,
         current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') IN ('on', 'remote_apply')
           AS is_synchronous,
         extract(epoch FROM clock_timestamp()) * 1000 AS now_ms,
         (SELECT json_agg(row ORDER BY row.seq) FROM (
            SELECT ${FEED_COLUMNS}, ${IMPORTED_MACS}, ${LIMIT_TARGET} FROM audit_event e WHERE e.seq > $1::bigint ORDER BY e.seq LIMIT ${MAX_ROWS}) AS row) AS rows,
         ${fullBudgets} AS full_budgets
    FROM change_head head`;

/** The statement of a poll; its value is the last change that was applied. */
export const POLL = { name: 'poll-changes', text: pollWith(`(${FULL_BUDGETS})`) };
const POLL_OF_CHANGES_ALONE = { name: 'poll-changes-alone', text: pollWith('NULL::json') };

interface PollRow {
  seq: string;
  epoch: string;
  timeline: string;
  flushed_lsn: string;
  replayed_lsn: string | null;
  is_synchronous: boolean;
  now_ms: string;
  rows: StoredFeedRow[] | null;
  full_budgets: string[] | null;
}

/** What is told of polls besides the feed itself. */
export interface PollObserver {
  readonly monotonicMs: () => number;
  /** Before each poll: has the host been suspended? */
  readonly beforePoll: () => void;
  readonly afterPoll: (poll: Poll, ticket: PollTicket, outcome: PollOutcome) => void;
  /** Sends a heartbeat; tells whether the database took it. Never throws. */
  readonly announce: () => Promise<boolean>;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Feeds a `ChangeFeed`: listens first, then polls, on each notice and every 500 ms, for as long as the process lives.
 * Failures are normal here: the session is thrown away and opened anew, sooner than 2 s after the database is back.
 */
export class FeedConnection {
  private readonly connection: LiveConnection;
  private loop: Promise<void> | null = null;
  private isStopping = false;
  private wasNoticed = false;
  private wake: () => void = () => undefined;
  private attempt = newAttempt();
  private withoutBudgetsMs = 0;
  private withBudgetsFromMs = Number.NEGATIVE_INFINITY;

  constructor(
    config: SessionConfig,
    private readonly feed: ChangeFeed,
    private readonly observer: PollObserver,
  ) {
    this.connection = new LiveConnection(config, {
      onOpen: (client) => client.query(`LISTEN ${CHANGE_CHANNEL}`),
      onNotice: () => this.poke(),
    });
  }

  /** Starts polling; resolves after the first attempt, whatever became of it. */
  async start(): Promise<void> {
    this.loop ??= this.run();
    await this.attempt.settled;
  }

  /** Resolves when the poll that is under way, or the next one, has ended, well or not. */
  async nextPoll(): Promise<void> {
    const { settled } = this.attempt;
    this.poke();
    await settled;
  }

  /** Polls now, or again at once if a poll is under way. */
  poke(): void {
    this.wasNoticed = true;
    this.wake();
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    this.wake();
    await this.connection.close();
    await this.loop;
  }

  private async run(): Promise<void> {
    let failures = 0;
    while (!this.isStopping) {
      this.wasNoticed = false;
      const outcome = await this.pollOnce();
      failures = outcome === null ? failures + 1 : 0;
      if (outcome !== 'more') await this.pause(failures);
    }
  }

  private async pollOnce(): Promise<PollOutcome | null> {
    this.observer.beforePoll();
    const ticket = this.feed.beginPoll(this.observer.monotonicMs());
    const isWhole = ticket.sentAtMs >= this.withBudgetsFromMs;
    let outcome: PollOutcome | null = null;
    try {
      const [row] = await this.connection.query<PollRow>(
        { ...(isWhole ? POLL : POLL_OF_CHANGES_ALONE), values: [this.feed.appliedSeq?.toString() ?? null] },
        POLL_TIMEOUT_MS,
      );
      if (!row) throw new Error('The change head is missing: the schema is damaged.');
      if (isWhole) this.withoutBudgetsMs = 0;
      const poll = pollOf(row);
      outcome = this.feed.polled(ticket, poll);
      this.observer.afterPoll(poll, ticket, outcome);
      if (this.feed.needsAnnouncement && (await this.observer.announce())) outcome = 'more';
    } catch (error) {
      this.feed.failed(ticket);
      if (isWhole) this.leaveOutBudgets();
      if (!this.isStopping) this.observer.onFailure(error);
    }
    if (outcome !== 'more') this.endAttempt();
    return outcome;
  }

  private leaveOutBudgets(): void {
    const { least, most } = WITHOUT_BUDGETS_MS;
    this.withoutBudgetsMs = Math.min(Math.max(2 * this.withoutBudgetsMs, least), most);
    this.withBudgetsFromMs = this.observer.monotonicMs() + this.withoutBudgetsMs;
  }

  private endAttempt(): void {
    const { settle } = this.attempt;
    this.attempt = newAttempt();
    settle();
  }

  /** Until the next poll is due, or a poke; after a failure a poke does not shorten it. */
  private async pause(failures: number): Promise<void> {
    if (failures > 0) {
      await sleep(BACKOFF_MS[Math.min(failures, BACKOFF_MS.length) - 1]);
      return;
    }
    if (this.wasNoticed || this.isStopping) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, POLL_EVERY_MS);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = () => undefined;
  }
}

interface Attempt {
  readonly settled: Promise<void>;
  readonly settle: () => void;
}

function newAttempt(): Attempt {
  let settle!: () => void;
  const settled = new Promise<void>((resolve) => (settle = resolve));
  return { settled, settle };
}

function pollOf(row: PollRow): Poll {
  return {
    headSeq: BigInt(row.seq),
    epoch: row.epoch,
    timeline: row.timeline,
    flushedLsn: BigInt(row.flushed_lsn),
    replayedLsn: row.replayed_lsn === null ? null : BigInt(row.replayed_lsn),
    isSynchronous: row.is_synchronous,
    databaseNowMs: Number(row.now_ms),
    fullBudgets: row.full_budgets,
    rows: (row.rows ?? []).map(feedRowOf),
  };
}
