import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Clock } from '../../common/clock.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { Config } from '../../config/config.js';
import { sessionConfigOf } from '../../database/session-config.js';
import type { Change } from '../records/change.js';
import {
  ChangeFeed,
  FRESH_MS,
  type FeedTarget,
  type Poll,
  type PollOutcome,
  type PollTicket,
  type Position,
  type Freshness,
} from './change-feed.js';
import { DatabaseClock } from './database-clock.js';
import { FeedConnection } from './feed-connection.js';
import type { HistoryListener } from './history-listener.js';
import { Quotas } from '../../quotas/quotas.service.js';
import { ImportedReader } from '../records/imported-reader.js';
import { RecordCache } from '../records/record-cache.js';
import { SuspendGuard } from '../../common/suspend-guard.js';

/** The clocks may part by this much between two looks; beyond it the host was suspended. */
const SUSPEND_TOLERANCE_MS = 1_000;

/** A request that finds the feed behind waits for this many polls at most: one under way, and one of its own. */
const MAX_POLLS_AWAITED = 2;

/**
 * Keeps what this replica remembers true: applies the change feed to the record cache and to what is held of quotas,
 * and says how far memory may be trusted at this moment.
 */
@Injectable()
export class FeedService implements FeedTarget {
  private readonly logger = new Logger('ChangeFeed');
  private readonly interruptions = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly feed: ChangeFeed;
  private readonly connection: FeedConnection;
  private readonly databaseClock = new DatabaseClock();
  private readonly guard = new SuspendGuard(SUSPEND_TOLERANCE_MS);
  private history: HistoryListener | null = null;
  /** Where this replica was before the poll under way turned out to be of another history. */
  private left: { readonly before: Position | null } | null = null;
  private onApplied: () => void = () => undefined;
  private announce: () => Promise<boolean> = () => Promise.resolve(false);
  private isAway = false;

  constructor(
    config: Config,
    dataSource: DataSource,
    private readonly clock: Clock,
    private readonly cache: RecordCache,
    private readonly imported: ImportedReader,
    private readonly quotas: Quotas,
  ) {
    this.feed = new ChangeFeed({ freshMs: FRESH_MS, staleMaxMs: config.maxStalenessSeconds * 1000 }, this);
    this.connection = new FeedConnection(sessionConfigOf(dataSource, 'feed', 'data-plane'), this.feed, {
      monotonicMs: () => clock.monotonicMs(),
      beforePoll: () => void this.tick(),
      afterPoll: (poll, ticket, outcome) => this.afterPoll(poll, ticket, outcome),
      announce: () => this.announce(),
      onFailure: (error) => this.reportAway(error),
    });
  }

  /** Tells `listener` of every poll, by the history it is of. */
  followHistory(listener: HistoryListener): void {
    this.history = listener;
  }

  /** Calls `run` whenever changes have been applied here. */
  whenApplied(run: () => void): void {
    this.onApplied = run;
  }

  /** How this replica gives a sign of life when it must before it may answer again. */
  announceBy(announce: () => Promise<boolean>): void {
    this.announce = announce;
  }

  /** A sign of life of this replica has just been answered by the database. */
  announced(): void {
    this.feed.announced(this.tick());
  }

  /** Begins to listen and poll; resolves after the first attempt. */
  start(): Promise<void> {
    return this.connection.start();
  }

  stop(): Promise<void> {
    return this.connection.stop();
  }

  /** Monotonic milliseconds; looks whether the host was suspended. To be called once for every answer. */
  tick(): number {
    const nowMs = this.clock.monotonicMs();
    if (this.guard.hasParted(this.clock.wallMs(), nowMs)) this.suspended();
    return nowMs;
  }

  /** How far memory may be trusted at this monotonic instant, as `tick` gave it. */
  standing(nowMs: number): Freshness {
    return this.feed.standing(nowMs);
  }

  /** How far memory may be trusted once a poll has been awaited, unless one of late has failed. */
  async settle(): Promise<Freshness> {
    for (let polls = 0; polls < MAX_POLLS_AWAITED; polls += 1) {
      const nowMs = this.tick();
      if (this.feed.standing(nowMs) === 'fresh' || this.feed.isKnownAway(nowMs)) break;
      await this.connection.nextPoll();
    }
    return this.feed.standing(this.tick());
  }

  /** Unix milliseconds by the database's clock at a monotonic instant; the wall clock's before its first answer. */
  databaseNowMs(nowMs: number): number {
    return this.databaseClock.nowMs(nowMs) ?? this.clock.now().getTime();
  }

  /** The last change applied here; 0 before the first poll. */
  get appliedSeq(): bigint {
    return this.feed.appliedSeq ?? 0n;
  }

  /** Milliseconds since the last poll that reached the head was sent; null before the first. */
  get ageMs(): number | null {
    const ageMs = this.feed.ageMs(this.tick());
    return Number.isFinite(ageMs) ? ageMs : null;
  }

  /** Resolves when the poll that is under way, or one that is sent now, has ended, well or not. */
  nextPoll(): Promise<void> {
    return this.connection.nextPoll();
  }

  /** Polls now instead of at the next notice. */
  poke(): void {
    this.connection.poke();
  }

  apply(changes: readonly Change[]): void {
    this.cache.apply(changes);
    // Leases and permits go before any answer is given that could rest on the change being applied here.
    for (const { touches, id } of changes) {
      if (touches === 'key') this.quotas.onKeyChanged(id);
      if (touches === 'limit') this.quotas.onLimitChanged(id);
    }
  }

  restart(poll: Poll, before: Position | null): void {
    this.cache.restart(poll.epoch, poll.headSeq);
    this.imported.begin();
    this.left = { before };
    if (before !== null) this.quotas.onEpochChanged();
  }

  private suspended(): void {
    this.feed.suspended();
    this.logger.warn(
      'Clock jump detected (host suspended, or system time changed). Cached keys are ignored until the next poll.',
    );
  }

  private afterPoll(poll: Poll, ticket: PollTicket, outcome: PollOutcome): void {
    const answeredAtMs = this.clock.monotonicMs();
    this.databaseClock.observe(poll.databaseNowMs, ticket.sentAtMs, answeredAtMs);
    this.clock.observe(poll.databaseNowMs, ticket.sentAtMs, answeredAtMs);
    this.quotas.onPolled(ticket.sentAtMs, answeredAtMs, poll.databaseNowMs);
    const timing = { sentAtMs: ticket.sentAtMs, answeredAtMs };
    if (this.left === null) this.history?.onFollowed(poll, timing);
    else this.history?.onHistory(poll, this.left.before, timing);
    this.left = null;
    if (this.isAway) this.logger.log('The change feed is back.');
    this.isAway = false;
    if (poll.rows.length > 0 && outcome !== 'more') this.onApplied();
  }

  /** Once for every outage; every attempt would flood the log. */
  private reportAway(error: unknown): void {
    if (this.isAway) return;
    this.isAway = true;
    // A connection that comes and goes would write a line each time.
    this.interruptions.add('away', {
      msg: `The change feed is interrupted: ${error instanceof Error ? error.message : 'unknown'}`,
    });
  }
}
