import type { Period, PoolKind } from './quota-store.js';

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

/** Permits of one rate window in this replica's memory. */
export class PermitLease {
  used = 0;
  usedAtMs: number;

  constructor(
    readonly granted: number,
    readonly bucket: number,
    /** The limit under which they were granted. */
    readonly limit: number,
    readonly deadlineMs: number,
    receivedAtMs: number,
  ) {
    this.usedAtMs = receivedAtMs;
  }

  get remaining(): number {
    return this.granted - this.used;
  }
}

/** What no call has drawn of a lease, in the unit of its account. */
export interface UnusedLease {
  readonly leaseId: string;
  readonly amount: bigint;
}
