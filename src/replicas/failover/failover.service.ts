import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { Clock } from '../../common/clock.js';
import { Conditions } from '../../common/conditions.js';
import { Metrics } from '../../common/metrics.js';
import { readStandbys } from '../../database/standbys.js';
import { Quotas } from '../../quotas/quotas.service.js';
import type { Poll, Position } from '../../key-cache/feed/change-feed.js';
import type { PollTiming } from '../../key-cache/feed/feed-follower.js';
import { Heartbeats } from '../heartbeats.service.js';
import { HistoryMemory } from './history-memory.js';
import {
  type KnownLoss,
  failoverSentence,
  isLoss,
  knownLossSentence,
  lossSentence,
  notEndedSentence,
  rangeOf,
  unexaminedSentence,
} from './history-report.js';
import { HistoryRepository } from './history.repository.js';
import {
  type Judgement,
  type LeftHistory,
  type Lookup,
  type PolledLsn,
  agreement,
  judge,
  provenPoll,
} from './judgement.js';
import { LostChanges } from './lost-changes.service.js';
import { OwnHistory } from './own-history.js';

/** Polls older than this prove nothing that newer ones do not; at most so many are kept. */
const POLLS_KEPT_MS = 5_000;
const MOST_POLLS = 100;
/** How long leases are kept from being handed back, while a new server does not answer which of them it has. */
const KEEP_LEASES_FOR_MS = 8_000;
const TRY_AGAIN_MS = 200;
/** Limited keys wait for 10 s; whether they must is looked at this often until then. */
const AGREE_FOR_MS = 9_500;
const LOOK_AGAIN_MS = 50;
/** How long looking up what is missing is tried, and then ending it again, before that is left to an operator. */
const KEEP_TRYING_FOR_MS = 120_000;

/**
 * Notices that the database has another history, after a failover or a restore, and finds out what is missing in it.
 * Where every live replica shows that nothing is, limited keys go on; where acknowledged changes are gone, it says
 * which, and ends again what they had ended.
 *
 * @see docs/adr/0019-what-a-failover-may-lose.md
 */
@Injectable()
export class FailoverService implements OnApplicationBootstrap {
  private readonly logger = new Logger('Failover');
  private readonly memory = new HistoryMemory();
  private polls: PolledLsn[] = [];
  private loss: KnownLoss | null = null;
  /** What this replica has left to an operator. */
  private leftUndone: string | null = null;
  private readonly failovers: ReturnType<Metrics['counter']>;
  private readonly lostChangesTotal: ReturnType<Metrics['counter']>;

  constructor(
    private readonly heartbeats: Heartbeats,
    private readonly own: OwnHistory,
    private readonly quotas: Quotas,
    private readonly repository: HistoryRepository,
    private readonly lostChanges: LostChanges,
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.failovers = meters.counter(
      'latchkey_database_failovers_total',
      'Times that the database had another history: a failover or a restore.',
    );
    this.lostChangesTotal = meters.counter(
      'latchkey_history_lost_changes_total',
      'Acknowledged changes that were missing after a failover.',
    );
    conditions.register(
      'history',
      'no acknowledged work is known to be missing',
      () => this.leftUndone ?? (this.loss === null ? null : knownLossSentence(this.loss)),
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    const { warning } = await readStandbys(this.dataSource).catch(() => ({ warning: null }));
    if (warning !== null) this.logger.warn(warning);
  }

  /** A poll in the history there was before. */
  onFollowed(poll: Poll, timing: PollTiming): void {
    this.memory.note(poll.rows);
    this.polls.push(lsnOf(poll, timing));
    while (this.polls.length > MOST_POLLS || timing.sentAtMs - this.polls[0]!.sentAtMs > POLLS_KEPT_MS)
      this.polls.shift();
    this.quotas.forgetGrantsBefore(this.polls[0]!.sentAtMs);
  }

  /** The first poll of a history; `before` is where this replica was in the one before, null in its first. */
  onHistory(poll: Poll, before: Position | null, timing: PollTiming): void {
    // What was granted since the last poll may have been granted by the new server already.
    const grantSentAtMs = this.quotas.newestGrantAskedFor(this.polls.at(-1)?.answeredAtMs ?? Number.NEGATIVE_INFINITY);
    const left = before === null ? null : { before, polls: this.polls, changes: this.memory.take(), grantSentAtMs };
    this.polls = [lsnOf(poll, timing)];
    const history = nameOf(poll);
    this.own.state = { history, isWhole: left === null ? true : null };
    void this.remember(poll.headSeq);
    if (left === null) return;
    this.failovers.inc();
    void this.follow(left, poll, history, this.heartbeats.live()).catch((error: unknown) =>
      this.logger.error({ msg: 'a new history of the database was not followed', cause: (error as Error).message }),
    );
  }

  /** The changes before this replica's first poll: they may be lost as well. */
  private async remember(headSeq: bigint): Promise<void> {
    const rows = await this.repository.newestChanges(headSeq).catch(() => []);
    this.memory.noteOlder(rows);
  }

  private async follow(left: LeftHistory, poll: Poll, history: string, live: readonly string[]): Promise<void> {
    const startedMs = this.clock.monotonicMs();
    const judgement = await this.examine(left, poll, history);
    if (judgement === null) return;
    if (this.own.isIn(history)) {
      this.own.state = { history, isWhole: judgement.doubt === null };
      await this.heartbeats.sendAnew();
    }
    // Also where yet another history has begun: nothing else remembers what was in the one that was left.
    if (isLoss(judgement)) await this.reportLoss(judgement, left, poll, history);
    else this.logger.warn(failoverSentence(judgement, poll.timeline));
    if (judgement.doubt === null && this.own.isIn(history)) await this.agree(history, live, startedMs);
  }

  /** Looks up what is missing; null, and left to an operator, where the server does not answer for long. */
  private async examine(left: LeftHistory, poll: Poll, history: string): Promise<Judgement | null> {
    const proven = provenPoll(left.polls, poll);
    const leases = proven === null ? null : this.quotas.grantedSince(proven.sentAtMs);
    const handBack = (): void => {
      if (this.own.isIn(history)) this.quotas.handBackNow();
    };
    const late = setTimeout(handBack, KEEP_LEASES_FOR_MS).unref();
    try {
      return await this.keepTrying(async () => judge(left, poll, await this.lookUp(left, leases)));
    } catch (error) {
      this.leaveUndone(unexaminedSentence(left), error);
      return null;
    } finally {
      clearTimeout(late);
      handBack();
    }
  }

  /** Tries again for as long as failovers and outages of the network take, and throws the last error then. */
  private async keepTrying<T>(work: () => Promise<T>): Promise<T> {
    const untilMs = this.clock.monotonicMs() + KEEP_TRYING_FOR_MS;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (this.clock.monotonicMs() > untilMs) throw error;
        await sleep(TRY_AGAIN_MS, undefined, { ref: false });
      }
    }
  }

  private leaveUndone(sentence: string, error: unknown): void {
    this.leftUndone = sentence;
    this.logger.error({ msg: sentence, cause: (error as Error).message });
  }

  private async lookUp({ changes }: LeftHistory, leases: readonly string[] | null): Promise<Lookup> {
    return {
      presentChanges: changes.length === 0 ? new Set() : await this.repository.presentChanges(changes),
      leases,
      presentLeases: leases === null || leases.length === 0 ? new Set() : await this.repository.presentLeases(leases),
    };
  }

  /** Ends the pause of limited keys once every live replica has told that it misses nothing. */
  private async agree(history: string, live: readonly string[], startedMs: number): Promise<void> {
    while (this.clock.monotonicMs() - startedMs < AGREE_FOR_MS && this.own.isIn(history)) {
      const told = (await this.heartbeats.told()) ?? [];
      const all = [...new Set([...live, ...this.heartbeats.live()])];
      const state = agreement(history, all, told);
      if (state === 'whole') {
        this.quotas.resume();
        this.logger.warn(`Limited keys go on: all ${all.length} replicas miss nothing in the new history.`);
        return;
      }
      if (state === 'broken') break;
      await sleep(LOOK_AGAIN_MS);
    }
    this.logger.warn('Limited keys wait 10 s: not every live replica has shown that nothing is missing.');
  }

  private async reportLoss(judgement: Judgement, left: LeftHistory, poll: Poll, history: string): Promise<void> {
    const { lost, lostBytes } = judgement;
    this.loss = {
      changes: (this.loss?.changes ?? 0) + lost.length,
      logBytes: Number(lostBytes),
      atMs: poll.databaseNowMs,
    };
    this.lostChangesTotal.inc(lost.length);
    this.logger.error(lossSentence(judgement, left, poll.timeline));
    const loss = { history, timeline: poll.timeline, judgement, appliedSeq: left.before.seq };
    try {
      const ended = await this.keepTrying(() => this.lostChanges.endAgain(loss));
      if (lost.length > 0)
        this.logger.warn(`Of the lost changes ${rangeOf(lost)} this replica has ended ${ended} things again.`);
    } catch (error) {
      this.leaveUndone(notEndedSentence(judgement, left), error);
    }
  }
}

function lsnOf({ databaseNowMs, flushedLsn, isSynchronous }: Poll, timing: PollTiming): PolledLsn {
  return { ...timing, databaseNowMs, flushedLsn, isSynchronous };
}

/** Names a history alike on every replica: the server goes on to tell where it had ended to follow the old one. */
function nameOf({ epoch, timeline, replayedLsn }: Poll): string {
  return `${epoch}/${timeline}/${replayedLsn ?? ''}`;
}
