import type { AccountOfLimit, PermitClose, RateWindow, WindowAmount, WindowGrant, WindowName } from './quota-store.js';
import { MOST_OF_WINDOW } from './quota-store.js';
import type { DemandEstimator } from './demand-estimator.js';
import type { PermitLease } from './lease.js';
import { emptyRing, grantPermits, RING_SHAPES, slideRing, withoutStanding } from './rate-ring.js';
import type { RateRing } from './rate-ring.js';
import { isOfTokens } from './token-windows.js';
import { NO_WAITERS, type Waiter } from './waiter.js';

/** The rings of a replica that counts alone. */
const SHARE_SHAPES = {
  minute: withoutStanding(RING_SHAPES.minute),
  hour: withoutStanding(RING_SHAPES.hour),
  day: withoutStanding(RING_SHAPES.day),
};

/** A lease is refilled when it holds less than this part of what the last two seconds used. */
const HOT_PART = 0.3;

/** What one replica knows and holds of one rate window. Instants are whole milliseconds, as those of its leases. */
export class WindowEntry {
  /** Drawn from first. */
  lease: PermitLease | null = null;
  /** What came ahead, while the other is still drawn from. */
  next: PermitLease | null = null;
  /** Of a lease that has left the memory: the next acquire tells it. */
  private over: PermitClose | null = null;
  waiting: Waiter[] = NO_WAITERS;
  isAsking = false;
  /** How many permits the last draw took of `lease`: fewer than it was for where another lease was used up by it. */
  drawn = 0;
  /** It is asked for, but no call waits for that. */
  isRefilling = false;
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
  /** Nothing is asked for ahead before then: the store had none to spare. */
  noRefillUntilMs = 0;
  /** Of a limit that keys share, as of the last answer; null before the first. */
  inForce: WindowAmount | null = null;
  /** Counts alone while the store is away, where that is allowed. */
  private share: { ring: RateRing; since: number } | null = null;

  constructor(
    readonly id: string,
    readonly window: WindowName,
    /** What is drawn from the windows of this id: the same for all three. */
    readonly flow: DemandEstimator,
    /** Absent: of the key itself. */
    readonly of?: AccountOfLimit,
  ) {}

  /**
   * Whether memory has this many permits. Those granted under a higher limit than today's are not used any more, those
   * of standing leases only if `mayStand`. A call of no tokens asks whether one is left.
   */
  covers(cost: number, limit: number, mayStand: boolean, nowMs: number): boolean {
    const { lease } = this;
    if (lease === null) return false;
    // A reservation names one bucket, from which all of it is taken.
    const isWhole = isOfTokens(this);
    const least = isWhole ? Math.max(1, cost) : cost;
    const isUsable = isUsableOf(lease, limit, mayStand, nowMs);
    if (isUsable && lease.remaining >= least) return true;
    const { next } = this;
    if (next === null || !isUsableOf(next, limit, mayStand, nowMs)) return false;
    if (!isUsable || lease.remaining === 0 || (isWhole && next.remaining >= least)) {
      this.moveOn(nowMs);
      return next.remaining >= least;
    }
    return !isWhole && lease.remaining + next.remaining >= cost;
  }

  /** Takes permits that it covers. */
  draw(cost: number, nowMs: number): void {
    const lease = this.lease as PermitLease;
    const first = Math.min(cost, lease.remaining);
    lease.draw(first, nowMs);
    this.drawn = first;
    if (first === cost) return;
    this.moveOn(nowMs);
    this.drawn = cost - first;
    this.lease!.draw(this.drawn, nowMs);
  }

  /** Whether permits should be asked for ahead: soon some will be missing. */
  isLow(nowMs: number): boolean {
    const { lease } = this;
    if (lease === null || this.next !== null || this.isAsking || nowMs < this.noRefillUntilMs) return false;
    const { remaining } = lease;
    // A standing lease is small against its limit, so that half of it is no loss; others are large.
    return (
      remaining < HOT_PART * this.flow.latest ||
      (lease.isStanding && remaining * 2 < lease.granted) ||
      nowMs >= lease.lateMs
    );
  }

  /** Takes what was granted; false: there is no place for it, because two leases are here already. */
  add(lease: PermitLease): boolean {
    if (this.lease === null) this.lease = lease;
    else if (this.next === null) this.next = lease;
    else return false;
    return true;
  }

  /** Takes everything out of memory, and gives what the store has to be told of it. */
  closeAll(nowMs: number): PermitClose[] {
    const { lease, next, over } = this;
    this.lease = null;
    this.next = null;
    this.over = null;
    return [over, lease?.closeAll(nowMs), next?.closeAll(nowMs)].filter(isClose);
  }

  /** What is over, and what was used of a lease that is still drawn from. */
  closeUsed(nowMs: number): PermitClose[] {
    const { over } = this;
    this.over = null;
    const { lease } = this;
    if (lease !== null && (lease.remaining === 0 || nowMs >= lease.deadlineMs)) {
      this.lease = this.next;
      this.next = null;
      return [over, lease.closeAll(nowMs)].filter(isClose);
    }
    return [over, lease?.closeUsed()].filter(isClose);
  }

  /** Takes the leases out of memory that `isOut` names, and gives what the store has to be told of them. */
  closeThose(isOut: (lease: PermitLease) => boolean, nowMs: number): PermitClose[] {
    const { lease, next } = this;
    const closes: (PermitClose | null)[] = [];
    if (next !== null && isOut(next)) {
      this.next = null;
      closes.push(next.closeAll(nowMs));
    }
    if (lease !== null && isOut(lease)) {
      this.lease = this.next;
      this.next = null;
      closes.push(this.over, lease.closeAll(nowMs));
      this.over = null;
    }
    return closes.filter(isClose);
  }

  /** Until when it must stay in memory. */
  get heldUntilMs(): number {
    return Math.max(this.lease?.deadlineMs ?? 0, this.next?.deadlineMs ?? 0);
  }

  /** When permits were last drawn; of a lease not drawn from yet, when it came. */
  get usedAtMs(): number {
    return Math.max(this.lease?.usedAtMs ?? 0, this.next?.usedAtMs ?? 0);
  }

  /** How many permits memory has. */
  remaining(nowMs: number): number {
    let sum = 0;
    for (const lease of [this.lease, this.next]) if (lease !== null && nowMs < lease.deadlineMs) sum += lease.remaining;
    return sum;
  }

  private moveOn(nowMs: number): void {
    this.over = this.lease?.closeAll(nowMs) ?? null;
    this.lease = this.next;
    this.next = null;
  }

  learn({ free, resetMs, inForce }: WindowGrant, nowMs: number): void {
    this.inForce = inForce ?? null;
    this.free = free;
    this.resetMs = resetMs;
    this.knownAtMs = Math.floor(nowMs);
  }

  /**
   * What is free, and until when something counts, as far as it is known here. The last answer counts until the window
   * has passed that it tells of; what was used since then was drawn from what is in memory.
   */
  stateOf(limit: number, nowMs: number): { remaining: number; resetMs: number } {
    const known = (this.free ?? 0) + this.remaining(nowMs);
    // Where only standing leases were counted, those of other replicas may be in use.
    const { lengthMs } = RING_SHAPES[this.window];
    const isOverMs = this.resetMs > 0 ? this.resetMs : lengthMs;
    const agoMs = nowMs - this.knownAtMs;
    if (agoMs < isOverMs) return { remaining: Math.min(limit, known), resetMs: Math.max(0, this.resetMs - agoMs) };
    const isUsed = nowMs - this.usedAtMs < lengthMs;
    const used = isUsed ? (this.lease?.used ?? 0) + (this.next?.used ?? 0) : 0;
    return { remaining: Math.min(limit, Math.max(known, limit - used)), resetMs: 0 };
  }

  rememberRefusal(need: number, retryMs: number, untilMs: number, nowMs: number): void {
    this.refusedNeed = nowMs < this.refusedUntilMs ? Math.min(this.refusedNeed, need) : need;
    this.refusedUntilMs = Math.floor(untilMs);
    this.retryAtMs = Math.floor(nowMs + retryMs);
  }

  isRefused(need: number, nowMs: number): boolean {
    return nowMs < this.refusedUntilMs && need >= this.refusedNeed;
  }

  forgetRefusal(): void {
    this.refusedUntilMs = 0;
  }

  retryAfterMs(nowMs: number): number {
    return Math.max(0, this.retryAtMs - nowMs);
  }

  forgetKnowledge(): void {
    this.generation++;
    this.free = null;
    this.inForce = null;
    this.refusedUntilMs = 0;
  }

  /** The amount in force, as far as it is known here; null: it is not. */
  amountOf({ limit }: RateWindow): number | null {
    return this.of === undefined ? limit : (this.inForce?.amount ?? null);
  }

  /**
   * What replicas that count alone divide among them; null: the amount of the limit is not known here. That of a limit
   * which refuses nothing is more than can be used.
   */
  dividedLimit({ limit }: RateWindow): number | null {
    if (this.of === undefined) return limit;
    return this.inForce === null ? null : (this.inForce.least ?? MOST_OF_WINDOW);
  }

  /** Whether this replica's share of the limit has room; `outage` names the outage, each starts afresh. */
  shareHasRoom(limit: number, cost: number, replicas: number, outage: number, nowMs: number): boolean {
    const shape = SHARE_SHAPES[this.window];
    if (this.share?.since !== outage) this.share = { ring: emptyRing(shape, nowMs), since: outage };
    slideRing(this.share.ring, shape, nowMs);
    return this.share.ring.sum + cost <= Math.floor(limit / replicas);
  }

  /** The store is back. */
  dropShare(): void {
    this.share = null;
  }

  takeFromShare(window: RateWindow, cost: number, replicas: number, nowMs: number): void {
    if (this.share === null) return;
    const limit = Math.floor((this.dividedLimit(window) ?? 0) / replicas);
    grantPermits(this.share.ring, SHARE_SHAPES[this.window], nowMs, { limit, want: 0, needs: [cost], live: 1 });
  }

  get isQuiet(): boolean {
    return (!this.isAsking || this.isRefilling) && this.waiting.length === 0;
  }
}

function isUsableOf(lease: PermitLease, limit: number, mayStand: boolean, nowMs: number): boolean {
  return nowMs < lease.deadlineMs && lease.limit <= limit && (mayStand || !lease.isStanding);
}

function isClose(close: PermitClose | null | undefined): close is PermitClose {
  return close !== null && close !== undefined;
}
