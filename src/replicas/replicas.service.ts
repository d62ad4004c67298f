import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChangePropagation } from '../audit/change-propagation.js';
import { Clock } from '../common/clock.js';
import { SQL_STATES, sqlState } from '../common/database-errors.js';
import { uuidv7 } from '../common/uuid.js';
import { Config } from '../config/config.js';
import { Quotas } from '../quotas/quotas.service.js';
import { FailoverService } from './failover/failover.service.js';
import { FeedService } from '../key-cache/feed/feed.service.js';
import { ImportedReader } from '../key-cache/records/imported-reader.js';
import { DataPlaneConnections } from '../key-cache/data-plane-connections.js';
import { ReplicaWatch } from './replica-watch.js';
import { type ReplicaTable, ReplicasRepository } from './replicas.repository.js';
import { ReplicasView } from './replicas.view.js';
import { Periodic } from '../common/periodic.js';

const BEAT_EVERY_MS = 1_000;
/** Whoever has not looked for this long does not know who was silent in the meantime. */
const WATCH_GAP_MS = 3_000;
/** Signs of life that tell of an applied change are sent at once, but not closer than this. */
const BEAT_GAP_MS = 20;
/** Beyond `MAX_STALENESS_SECONDS`: for clocks that do not run alike. */
const MARGIN_MS = 1_000;
/** Replicas that ended without a word are forgotten after this; they have been irrelevant for long by then. */
const FORGET_AFTER_MS = 10 * 60_000;
/** A waiter looks again after this many milliseconds; the last one repeats. */
const LOOK_AGAIN_MS = [5, 10, 20, 40] as const;
/** A change that this process made itself is known here after one poll. */
const MAX_WAIT_HERE_MS = 1_000;
/** The first answer does not wait longer for imported keys to be in memory. */
const MAX_WAIT_FOR_IMPORTED_MS = 5_000;

/**
 * This process as one of several: it is known before its first answer and until after its last, tells how far it has
 * applied changes, and can wait until all the others have.
 */
@Injectable()
export class ReplicasService extends ChangePropagation implements OnApplicationBootstrap, OnApplicationShutdown {
  /** Of this process; another one after every start. */
  readonly id = uuidv7();
  readonly effectiveWithinMs = 1_000;
  private readonly watch: ReplicaWatch;
  private readonly silentMs: number;
  private readonly heartbeats = new Periodic(BEAT_EVERY_MS, () => this.heartbeat());
  private early: NodeJS.Timeout | undefined;
  private beating: Promise<boolean> | null = null;

  constructor(
    config: Config,
    private readonly clock: Clock,
    private readonly feed: FeedService,
    private readonly repository: ReplicasRepository,
    private readonly connections: DataPlaneConnections,
    private readonly quotas: Quotas,
    private readonly failover: FailoverService,
    private readonly imported: ImportedReader,
  ) {
    super();
    this.silentMs = config.maxStalenessSeconds * 1000 + MARGIN_MS;
    this.watch = new ReplicaWatch(this.silentMs, WATCH_GAP_MS);
  }

  async onApplicationBootstrap(): Promise<void> {
    this.feed.whenApplied(() => this.beatSoon());
    this.feed.announceBy(() => this.heartbeat());
    this.failover.joinedBy({
      live: () => this.watch.live(this.clock.monotonicMs()),
      tell: () => this.tellNow(),
      look: async () =>
        (await this.look())?.replicas.map(({ id, history, isHistoryWhole }) => ({
          id,
          history,
          isWhole: isHistoryWhole,
        })) ?? null,
    });
    await this.repository.enter(this.id);
    this.feed.announced();
    await this.feed.start();
    await this.heartbeat();
    await this.imported.settled(MAX_WAIT_FOR_IMPORTED_MS);
    this.heartbeats.start();
  }

  async onApplicationShutdown(): Promise<void> {
    void this.heartbeats.stop();
    clearTimeout(this.early);
    await this.feed.stop();
    await this.imported.stop();
    await this.beating;
    // Whoever waits for us would have to wait out our silence; if this fails, that is all that happens.
    await this.repository.remove([this.id]).catch(() => undefined);
    await this.connections.close();
  }

  /** Replicas that were seen alive of late, this one included; at least 1. */
  get liveCount(): number {
    return Math.max(1, this.watch.live(this.clock.monotonicMs()).length);
  }

  /**
   * @inheritDoc
   * Returns after `MAX_STALENESS_SECONDS` and a second in any case: a replica that has not heard of the change by then
   * has not heard of anything for so long that it answers nothing.
   */
  async waitUntilApplied(seq: string | null): Promise<void> {
    const startedMs = this.clock.monotonicMs();
    let target = seq === null ? null : BigInt(seq);
    this.feed.poke();
    for (let looks = 0; this.clock.monotonicMs() - startedMs <= this.silentMs; looks += 1) {
      const table = await this.look();
      if (table !== null) {
        target ??= table.headSeq;
        if (this.hasBeenApplied(target)) return;
      }
      await sleep(LOOK_AGAIN_MS[Math.min(looks, LOOK_AGAIN_MS.length - 1)]);
    }
  }

  /** @inheritDoc */
  async waitUntilAppliedHere(seq: string): Promise<void> {
    const target = BigInt(seq);
    const untilMs = this.clock.monotonicMs() + MAX_WAIT_HERE_MS;
    while (this.feed.appliedSeq < target && this.clock.monotonicMs() < untilMs) await this.feed.nextPoll();
  }

  /** All replicas with what they have applied. @throws when the database is away */
  async list(): Promise<ReplicasView> {
    return ReplicasView.from(await this.repository.table(), this.id);
  }

  private hasBeenApplied(seq: bigint): boolean {
    const others = this.watch.laggards(seq, this.clock.monotonicMs()).filter((id) => id !== this.id);
    return this.feed.appliedSeq >= seq && others.length === 0;
  }

  /** Reads the table and notes who has given a sign of life; null when the database is away. */
  private async look(): Promise<ReplicaTable | null> {
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

  private beatSoon(): void {
    this.early ??= setTimeout(
      () => {
        this.early = undefined;
        void this.heartbeat();
      },
      this.beating === null ? 0 : BEAT_GAP_MS,
    );
  }

  /** One at a time; one that is due while another is under way follows it if there is something new to tell. */
  private async heartbeat(): Promise<boolean> {
    if (this.beating !== null) return this.beating;
    const told = this.feed.appliedSeq;
    this.beating = this.tell(told).finally(() => (this.beating = null));
    const wasHeard = await this.beating;
    if (wasHeard && this.feed.appliedSeq !== told) this.beatSoon();
    return wasHeard;
  }

  /** A sign of life that was begun after this call. */
  private async tellNow(): Promise<void> {
    await this.beating;
    await this.heartbeat();
  }

  private async tell(appliedSeq: bigint): Promise<boolean> {
    try {
      const state = this.failover.state;
      await this.repository.heartbeat(this.id, {
        appliedSeq,
        lagMs: this.feed.ageMs,
        history: state?.history ?? null,
        isHistoryWhole: state?.isWhole ?? null,
      });
    } catch (error) {
      this.watch.forgive(this.clock.monotonicMs());
      // A database that can write for nobody commits no change either: nobody waits for us.
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

/** Disk full, and read-only: the server answers, but takes no write. */
const CANNOT_WRITE: readonly string[] = [SQL_STATES.diskFull, SQL_STATES.readOnly];
