import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { SQL_STATES, sqlState } from '../common/database-errors.js';
import { Periodic } from '../common/periodic.js';
import { uuidv7 } from '../common/uuid.js';
import { Config } from '../config/config.js';
import { FeedService } from '../key-cache/feed/feed.service.js';
import { Quotas } from '../quotas/quotas.service.js';
import type { ToldHistory } from './failover/judgement.js';
import { OwnHistory } from './failover/own-history.js';
import { ReplicaWatch } from './replica-watch.js';
import { type ReplicaTable, ReplicasRepository } from './replicas.repository.js';

const BEAT_EVERY_MS = 1_000;
/** If this replica has not looked for this long, it cannot tell which replicas stopped sending heartbeats. */
const WATCH_GAP_MS = 3_000;
/** Heartbeats that tell of an applied change are sent at once, but not closer than this. */
const BEAT_GAP_MS = 20;
/** Beyond `MAX_STALENESS_SECONDS`: for clocks that do not run alike. */
const MARGIN_MS = 1_000;
/** Replicas that ended without a word are forgotten after this; they have been irrelevant for long by then. */
const FORGET_AFTER_MS = 10 * 60_000;
/** Disk full, and read-only: the server answers, but takes no write. */
const CANNOT_WRITE: readonly string[] = [SQL_STATES.diskFull, SQL_STATES.readOnly];

/**
 * Tells the other replicas every second that this one is alive, how far it has applied changes and in which history of
 * the database; and reads what they tell.
 */
@Injectable()
export class Heartbeats {
  /** Of this process; another one after every start. */
  readonly id = uuidv7();
  /** A replica that was silent for this long answers nothing any more. */
  readonly silentMs: number;
  private readonly watch: ReplicaWatch;
  private readonly periodic = new Periodic(BEAT_EVERY_MS, () => this.send());
  private early: NodeJS.Timeout | undefined;
  private sending: Promise<boolean> | null = null;

  constructor(
    config: Config,
    private readonly clock: Clock,
    private readonly feed: FeedService,
    private readonly repository: ReplicasRepository,
    private readonly quotas: Quotas,
    private readonly history: OwnHistory,
  ) {
    this.silentMs = config.maxStalenessSeconds * 1000 + MARGIN_MS;
    this.watch = new ReplicaWatch(this.silentMs, WATCH_GAP_MS);
  }

  /** Makes this replica known, before its first answer. */
  async enter(): Promise<void> {
    await this.repository.enter(this.id);
    this.feed.announced();
  }

  /** Sends one every second from now on. */
  start(): void {
    this.periodic.start();
  }

  /** Sends no more; one that is under way comes to its end first. */
  async stop(): Promise<void> {
    void this.periodic.stop();
    await this.sending;
    clearTimeout(this.early);
  }

  /** Takes this replica out of the table, after its last answer. */
  async leave(): Promise<void> {
    // Replicas that wait for this one would have to wait out its silence; if this fails, that is all that happens.
    await this.repository.remove([this.id]).catch(() => undefined);
  }

  /** Replicas that were seen alive of late, this one included. */
  live(): readonly string[] {
    return this.watch.live(this.clock.monotonicMs());
  }

  /** How many those are; at least 1. */
  get liveCount(): number {
    return Math.max(1, this.live().length);
  }

  /** Other replicas that have not told yet that they applied this change. */
  laggards(seq: bigint): readonly string[] {
    return this.watch.laggards(seq, this.clock.monotonicMs()).filter((id) => id !== this.id);
  }

  /** What all replicas tell of the history they are in; null when the database does not answer. */
  async told(): Promise<readonly ToldHistory[] | null> {
    const table = await this.look();
    return table?.replicas.map(({ id, history, isHistoryWhole }) => ({ id, history, isWhole: isHistoryWhole })) ?? null;
  }

  /** Reads the table and notes which replicas are alive; null when the database is away. */
  async look(): Promise<ReplicaTable | null> {
    try {
      const table = await this.repository.table();
      this.watch.observe(
        table.replicas.map(({ id, appliedSeq, beats }) => ({ id, appliedSeq, beat: beats })),
        this.clock.monotonicMs(),
      );
      return table;
    } catch {
      return null;
    }
  }

  /** Sends one in a moment. */
  sendSoon(): void {
    this.early ??= setTimeout(
      () => {
        this.early = undefined;
        void this.send();
      },
      this.sending === null ? 0 : BEAT_GAP_MS,
    );
  }

  /**
   * One at a time; one that is due while another is under way follows it if there is something new to tell. Tells
   * whether the database took it. Never throws.
   */
  async send(): Promise<boolean> {
    if (this.sending !== null) return this.sending;
    const told = this.feed.appliedSeq;
    this.sending = this.tell(told).finally(() => (this.sending = null));
    const wasHeard = await this.sending;
    if (wasHeard && this.feed.appliedSeq !== told) this.sendSoon();
    return wasHeard;
  }

  /** As `send`, with one that is begun after this call. */
  async sendAnew(): Promise<void> {
    await this.sending;
    await this.send();
  }

  private async tell(appliedSeq: bigint): Promise<boolean> {
    try {
      const { state } = this.history;
      await this.repository.heartbeat(this.id, {
        appliedSeq,
        lagMs: this.feed.ageMs,
        history: state?.history ?? null,
        isHistoryWhole: state?.isWhole ?? null,
      });
    } catch (error) {
      this.watch.forgive(this.clock.monotonicMs());
      // A database that takes no write of any replica commits no change either: no other waits for this one.
      const isForAll = CANNOT_WRITE.includes(sqlState(error));
      if (isForAll) this.feed.announced();
      return isForAll;
    }
    this.feed.announced();
    await this.look();
    this.quotas.setLiveReplicas(this.liveCount);
    await this.forgetDead();
    return true;
  }

  private async forgetDead(): Promise<void> {
    const dead = this.watch.silentFor(FORGET_AFTER_MS, this.clock.monotonicMs()).filter((id) => id !== this.id);
    if (dead.length > 0) await this.repository.remove(dead).catch(() => undefined);
  }
}
