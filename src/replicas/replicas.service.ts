import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChangePropagation } from '../audit/change-propagation.js';
import { Clock } from '../common/clock.js';
import { DataPlaneConnections } from '../key-cache/data-plane-connections.js';
import { FeedPoller } from '../key-cache/feed/feed-poller.service.js';
import { FeedService } from '../key-cache/feed/feed.service.js';
import { ImportedReader } from '../key-cache/records/imported-reader.js';
import { Heartbeats } from './heartbeats.service.js';
import { ReplicasRepository } from './replicas.repository.js';
import { ReplicasView } from './replicas.view.js';

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
  readonly effectiveWithinMs = 1_000;

  constructor(
    private readonly clock: Clock,
    private readonly feed: FeedService,
    private readonly poller: FeedPoller,
    private readonly heartbeats: Heartbeats,
    private readonly repository: ReplicasRepository,
    private readonly connections: DataPlaneConnections,
    private readonly imported: ImportedReader,
  ) {
    super();
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.heartbeats.enter();
    await this.poller.start();
    await this.heartbeats.send();
    await this.imported.settled(MAX_WAIT_FOR_IMPORTED_MS);
    this.heartbeats.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.poller.stop();
    await this.imported.stop();
    await this.heartbeats.stop();
    await this.heartbeats.leave();
    await this.connections.close();
  }

  /** Of this process; another one after every start. */
  get id(): string {
    return this.heartbeats.id;
  }

  /**
   * Whether no replica that was seen alive of late is older: for work that one of them does, and that may be done twice
   * or not at all while replicas come and go.
   */
  get isOldest(): boolean {
    return this.heartbeats.live().every((id) => this.id <= id);
  }

  /** Replicas that were seen alive of late, this one included; at least 1. */
  get liveCount(): number {
    return this.heartbeats.liveCount;
  }

  /**
   * @inheritDoc
   * Returns after `MAX_STALENESS_SECONDS` and a second in any case: a replica that has not heard of the change by then
   * has not heard of anything for so long that it answers nothing.
   */
  async waitUntilApplied(seq: string | null): Promise<void> {
    const startedMs = this.clock.monotonicMs();
    let target = seq === null ? null : BigInt(seq);
    this.poller.poke();
    for (let looks = 0; this.clock.monotonicMs() - startedMs <= this.heartbeats.silentMs; looks += 1) {
      const table = await this.heartbeats.look();
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
    while (this.feed.appliedSeq < target && this.clock.monotonicMs() < untilMs) await this.poller.nextPoll();
  }

  /** All replicas with what they have applied. @throws when the database is away */
  async list(): Promise<ReplicasView> {
    return ReplicasView.from(await this.repository.table(), this.heartbeats.id);
  }

  private hasBeenApplied(seq: bigint): boolean {
    return this.feed.appliedSeq >= seq && this.heartbeats.laggards(seq).length === 0;
  }
}
