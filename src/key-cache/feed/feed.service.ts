import { Injectable, Logger } from '@nestjs/common';
import { Clock } from '../../common/clock.js';
import { Config } from '../../config/config.js';
import type { Change } from '../records/change.js';
import { ChangeFeed, FRESH_MS, type FeedTarget, type Poll, type Position, type Freshness } from './change-feed.js';
import { DatabaseClock } from './database-clock.js';
import type { PollTiming } from './feed-follower.js';
import { Quotas } from '../../quotas/quotas.service.js';
import { ImportedReader } from '../records/imported-reader.js';
import { RecordCache } from '../records/record-cache.js';
import { SuspendGuard } from '../../common/suspend-guard.js';

/** The clocks may part by this much between two looks; beyond it the host was suspended. */
const SUSPEND_TOLERANCE_MS = 1_000;

/**
 * Keeps what this replica remembers true: applies the change feed to the record cache and to what is held of quotas,
 * and says how far memory may be trusted at this moment. `FeedPoller` reads the feed.
 */
@Injectable()
export class FeedService implements FeedTarget {
  private readonly logger = new Logger('ChangeFeed');
  /** The core, for the connection that feeds it. */
  readonly feed: ChangeFeed;
  private readonly databaseClock = new DatabaseClock();
  private readonly guard = new SuspendGuard(SUSPEND_TOLERANCE_MS);
  /** Where this replica was before the poll under way turned out to be of another history. */
  private left: { readonly before: Position | null } | null = null;

  constructor(
    config: Config,
    private readonly clock: Clock,
    private readonly cache: RecordCache,
    private readonly imported: ImportedReader,
    private readonly quotas: Quotas,
  ) {
    this.feed = new ChangeFeed({ freshMs: FRESH_MS, staleMaxMs: config.maxStalenessSeconds * 1000 }, this);
  }

  /** A heartbeat of this replica has just been answered by the database. */
  announced(): void {
    this.feed.announced(this.tick());
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

  apply(changes: readonly Change[]): void {
    this.cache.apply(changes);
    // Leases and permits go before any answer is given that could rest on the change being applied here.
    for (const { touches, id, isNew } of changes) {
      // A new key is often asked about before its making is read here: its first permit must not be lost.
      if (touches === 'key' && isNew === undefined) this.quotas.onKeyChanged(id);
      if (touches === 'limit') this.quotas.onLimitChanged(id);
    }
  }

  restart(poll: Poll, before: Position | null): void {
    this.cache.restart(poll.epoch, poll.headSeq);
    this.imported.begin();
    this.left = { before };
    if (before !== null) this.quotas.onEpochChanged();
  }

  /** The database's answer to a poll: what its clock says, and until when what is held of quotas holds. */
  polled(poll: Poll, { sentAtMs, answeredAtMs }: PollTiming): void {
    this.databaseClock.observe(poll.databaseNowMs, sentAtMs, answeredAtMs);
    this.clock.observe(poll.databaseNowMs, sentAtMs, answeredAtMs);
    this.quotas.onPolled(sentAtMs, answeredAtMs, poll.databaseNowMs, poll.fullBudgets);
  }

  /** Where this replica was before the last poll turned out to be of another history; null where it did not. */
  takeLeft(): { readonly before: Position | null } | null {
    const { left } = this;
    this.left = null;
    return left;
  }

  private suspended(): void {
    this.feed.suspended();
    this.logger.warn(
      'Clock jump detected (host suspended, or system time changed). Cached keys are ignored until the next poll.',
    );
  }
}
