import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Clock } from '../../common/clock.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { sessionConfigOf } from '../../database/session-config.js';
import type { Freshness, Poll, PollOutcome, PollTicket } from './change-feed.js';
import { FeedConnection } from './feed-connection.js';
import { FeedFollower } from './feed-follower.js';
import { FeedService } from './feed.service.js';

/** A request that finds the feed behind waits for this many polls at most: one under way, and one of its own. */
const MAX_POLLS_AWAITED = 2;

/** Reads the change feed, hands it to `FeedService`, and tells the follower of every poll. */
@Injectable()
export class FeedPoller {
  private readonly logger = new Logger('ChangeFeed');
  private readonly interruptions = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly connection: FeedConnection;
  private isAway = false;

  constructor(
    dataSource: DataSource,
    private readonly clock: Clock,
    private readonly applied: FeedService,
    private readonly follower: FeedFollower,
  ) {
    this.connection = new FeedConnection(sessionConfigOf(dataSource, 'feed', 'data-plane'), applied.feed, {
      monotonicMs: () => clock.monotonicMs(),
      beforePoll: () => void applied.tick(),
      afterPoll: (poll, ticket, outcome) => this.afterPoll(poll, ticket, outcome),
      announce: () => follower.announce(),
      onFailure: (error) => this.reportAway(error),
    });
  }

  /** Begins to listen and poll; resolves after the first attempt. */
  start(): Promise<void> {
    return this.connection.start();
  }

  stop(): Promise<void> {
    return this.connection.stop();
  }

  /** How far memory may be trusted once a poll has been awaited, unless one of late has failed. */
  async settle(): Promise<Freshness> {
    for (let polls = 0; polls < MAX_POLLS_AWAITED; polls += 1) {
      const nowMs = this.applied.tick();
      if (this.applied.standing(nowMs) === 'fresh' || this.applied.feed.isKnownAway(nowMs)) break;
      await this.connection.nextPoll();
    }
    return this.applied.standing(this.applied.tick());
  }

  /** Resolves when the poll that is under way, or one that is sent now, has ended, well or not. */
  nextPoll(): Promise<void> {
    return this.connection.nextPoll();
  }

  /** Polls now instead of at the next notice. */
  poke(): void {
    this.connection.poke();
  }

  private afterPoll(poll: Poll, ticket: PollTicket, outcome: PollOutcome): void {
    const timing = { sentAtMs: ticket.sentAtMs, answeredAtMs: this.clock.monotonicMs() };
    this.applied.polled(poll, timing);
    const left = this.applied.takeLeft();
    if (left === null) this.follower.onFollowed(poll, timing);
    else this.follower.onHistory(poll, left.before, timing);
    if (this.isAway) this.logger.log('The change feed is back.');
    this.isAway = false;
    if (poll.rows.length > 0 && outcome !== 'more') this.follower.onApplied();
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
