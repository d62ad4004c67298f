import type { Period, PermitClose, PoolKind } from './quota-store.js';

/**
 * A slice of a budget in this replica's memory. What remains of it only ever shrinks, but for a call that was counted
 * and is undone.
 */
export class BudgetLease {
  remaining: bigint;
  /** Handed back: nothing that was drawn from it can be undone any more. */
  isReturned = false;
  usedAtMs: number;

  constructor(
    readonly id: string,
    readonly kind: PoolKind | 'own',
    readonly period: Period,
    readonly month: Period,
    readonly slice: bigint,
    /** Monotonic: from then on it admits nothing. */
    readonly deadlineMs: number,
    /** Monotonic time at which the grant arrived, and the store's clock when it was made. */
    readonly receivedAtMs: number,
    readonly clockMs: number,
  ) {
    this.remaining = slice;
    this.usedAtMs = receivedAtMs;
  }
}

/** The part of its life from which on a lease of permits is refilled. */
const LATE_PART = 3 / 4;

/**
 * Permits of one rate window in this replica's memory. Its instants are whole milliseconds, rounded down: V8 keeps
 * these in the object itself for the first 24 days of a process, and every other number in an object of its own. A
 * replica holds three leases of each key.
 */
export class PermitLease {
  used = 0;
  usedAtMs: number;
  /** How many of them the store was told of, as used or as given up: none of these is told a second time. */
  told = 0;
  readonly deadlineMs: number;
  /** From then on, monotonic, it is refilled however much is left. */
  readonly lateMs: number;

  constructor(
    readonly granted: number,
    readonly bucket: number,
    /** The limit under which they were granted. */
    readonly limit: number,
    deadlineMs: number,
    receivedAtMs: number,
    /** It lives long, so that its permits count far ahead. */
    readonly isStanding: boolean,
  ) {
    this.deadlineMs = Math.floor(deadlineMs);
    this.usedAtMs = Math.floor(receivedAtMs);
    this.lateMs = Math.floor(receivedAtMs + (deadlineMs - receivedAtMs) * LATE_PART);
  }

  get remaining(): number {
    return this.granted - this.used;
  }

  draw(cost: number, nowMs: number): void {
    this.used += cost;
    this.usedAtMs = Math.floor(nowMs);
  }

  /**
   * Undoes a draw, unless the store has been told of the lease since: what it counts as used by then was used by then,
   * and must not stand for a later call.
   */
  undraw({ cost, told }: { readonly cost: number; readonly told: number }): void {
    if (this.told === told) this.used -= Math.min(cost, this.used - told);
  }

  /** The store was told of all of it: no draw can be undone any more. */
  get isReturned(): boolean {
    return this.told === this.granted;
  }

  /**
   * What the store has to be told when this lease has left the memory; null: nothing. It is marked as told before it is
   * sent, because permits have no number by which a second return would be known.
   */
  closeAll(nowMs: number): PermitClose | null {
    const granted = this.granted - this.told;
    const used = this.used - this.told;
    this.told = this.granted;
    // All used, and counted where they belong: in the bucket of a deadline that has passed.
    if (granted === 0 || (used === granted && nowMs >= this.deadlineMs)) return null;
    return { bucket: this.bucket, granted, used };
  }

  /** What was used and not told yet, while the rest is still drawn from; null: nothing. */
  closeUsed(): PermitClose | null {
    const used = this.used - this.told;
    this.told = this.used;
    return used === 0 ? null : { bucket: this.bucket, granted: used, used };
  }
}

/** What no call has drawn of a lease, in the unit of its account. */
export interface UnusedLease {
  readonly leaseId: string;
  readonly amount: bigint;
}
