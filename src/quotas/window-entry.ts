import type { RateWindow, WindowGrant, WindowName } from './quota-store.js';
import type { DemandEstimator } from './demand-estimator.js';
import type { PermitLease } from './lease.js';
import { emptyRing, grantPermits, RING_SHAPES, slideRing } from './rate-ring.js';
import type { RateRing } from './rate-ring.js';
import { NO_WAITERS, type Waiter } from './waiter.js';

/** What one replica knows and holds of one rate window. */
export class WindowEntry {
  lease: PermitLease | null = null;
  waiting: Waiter[] = NO_WAITERS;
  isAsking = false;
  isGone = false;
  isWatched = false;
  generation = 0;
  touchedAtMs = 0;
  /** What the last answer left, and until when it counts; of the answer nothing else is kept. null before the first. */
  free: number | null = null;
  resetMs = 0;
  knownAtMs = 0;
  private refusedNeed = 0;
  private refusedUntilMs = 0;
  private retryAtMs = 0;
  /** Counts alone while the store is away, where that is allowed. */
  private share: { ring: RateRing; since: number } | null = null;

  constructor(
    readonly id: string,
    readonly window: WindowName,
    /** What is drawn from the windows of this id: the same for all three. */
    readonly flow: DemandEstimator,
  ) {}

  /** Permits granted under a higher limit than today's are not used any more. */
  covers(cost: number, limit: number, nowMs: number): boolean {
    const lease = this.lease;
    return lease !== null && lease.remaining >= cost && lease.limit <= limit && nowMs < lease.deadlineMs;
  }

  learn({ free, resetMs }: WindowGrant, nowMs: number): void {
    this.free = free;
    this.resetMs = resetMs;
    this.knownAtMs = nowMs;
  }

  rememberRefusal(need: number, retryMs: number, untilMs: number, nowMs: number): void {
    this.refusedNeed = nowMs < this.refusedUntilMs ? Math.min(this.refusedNeed, need) : need;
    this.refusedUntilMs = untilMs;
    this.retryAtMs = nowMs + retryMs;
  }

  isRefused(need: number, nowMs: number): boolean {
    return nowMs < this.refusedUntilMs && need >= this.refusedNeed;
  }

  retryAfterMs(nowMs: number): number {
    return Math.max(0, this.retryAtMs - nowMs);
  }

  forgetKnowledge(): void {
    this.generation++;
    this.free = null;
    this.refusedUntilMs = 0;
  }

  /** Whether this replica's share of the limit has room; `outage` names the outage, each starts afresh. */
  shareHasRoom(window: RateWindow, cost: number, replicas: number, outage: number, nowMs: number): boolean {
    const shape = RING_SHAPES[this.window];
    if (this.share?.since !== outage) this.share = { ring: emptyRing(shape, nowMs), since: outage };
    slideRing(this.share.ring, shape, nowMs);
    return this.share.ring.sum + cost <= Math.floor(window.limit / replicas);
  }

  takeFromShare(window: RateWindow, cost: number, replicas: number, nowMs: number): void {
    if (this.share === null) return;
    const limit = Math.floor(window.limit / replicas);
    grantPermits(this.share.ring, RING_SHAPES[this.window], nowMs, { limit, want: 0, needs: [cost], live: 1 });
  }

  get isQuiet(): boolean {
    return !this.isAsking && this.waiting.length === 0;
  }
}
