import { type AdmitRequest, amountIn, type BudgetState } from './admission.js';
import type { Account, BudgetGrant, PoolKind } from './quota-store.js';
import { POOLED_TTL_SECONDS } from './quota-store.js';
import { DemandEstimator } from './demand-estimator.js';
import type { BudgetLease } from './lease.js';
import type { FullNotices } from './full-notices.js';
import { NO_WAITERS, type Waiter } from './waiter.js';

/** What is kept of an answer of the store. */
export type KnownBudget = Pick<
  BudgetGrant,
  'period' | 'month' | 'limit' | 'spent' | 'leased' | 'raise' | 'monthEndsInMs' | 'clockMs'
> & {
  /** When the answer arrived, monotonic. */
  readonly receivedAtMs: number;
};

/** An answer of the store, and how long it holds. Instants are monotonic. */
export interface Learned {
  readonly grant: BudgetGrant;
  readonly sentMs: number;
  readonly untilMs: number;
  /** Until when the budget stays open if no notice comes. @see FullNotices */
  readonly openUntilMs: number;
}

/** Of nearly every account: calls that reserve nothing need no lease. Never written to. */
export const NO_LEASES: BudgetLease[] = Object.freeze([]) as unknown as BudgetLease[];

/** What one replica knows and holds of one account. Instants are whole milliseconds, as those of leases of permits. */
export class BudgetEntry {
  leases: BudgetLease[] = NO_LEASES;
  waiting: Waiter[] = NO_WAITERS;
  /** An acquire of this account is under way: one at a time. */
  isAsking = false;
  /** What is known of it is being renewed, and no call waits for that. */
  isRenewing = false;
  /** Calls that wait for this account and others together. */
  jointCalls = 0;
  isGone = false;
  isWatched = false;
  /** Grows whenever everything held is dropped: grants asked for before are not taken. */
  generation = 0;
  touchedAtMs = 0;
  /** Null: no call has drawn anything, which is so where none reserves. */
  private flow: DemandEstimator | null = null;
  /** The last answer of the store; calls that reserve nothing are judged by it until `knownUntilMs`. */
  known: KnownBudget | null = null;
  knownUntilMs = 0;
  /** When that answer was asked for. */
  private askedAtMs = 0;
  /** From `knownUntilMs` until then an open budget stays open while notices cover it. */
  private openUntilMs = 0;
  /** A poll has told that the budget is full, and no answer has come since. */
  private isToldFull = false;
  /** Smallest need that was refused, and until when that is remembered. */
  private refusedNeed = 0n;
  private refusedUntilMs = 0;
  /** When a reservation of this account was last seen to end: what was asked for before may have missed it. */
  freedAtMs = Number.NEGATIVE_INFINITY;

  constructor(readonly account: Account) {}

  /** A lease that covers the call, or null. What is held for a long time never comes from a pool. */
  findLease(request: AdmitRequest, kind: PoolKind, nowMs: number): BudgetLease | null {
    if (request.ttlSeconds > POOLED_TTL_SECONDS && kind !== 'counted') return null;
    const amount = amountIn(request, this.account);
    for (const lease of this.leases) {
      if (lease.kind === kind && lease.remaining >= amount && nowMs < lease.deadlineMs) return lease;
    }
    return null;
  }

  /** Notes what the store has answered. Of two answers the one that was asked for later holds. */
  learn({ grant, sentMs, untilMs, openUntilMs }: Learned, nowMs: number): void {
    if (Math.floor(sentMs) < this.askedAtMs) return;
    this.askedAtMs = Math.floor(sentMs);
    this.openUntilMs = Math.floor(openUntilMs);
    // The answer may be older than the notice: then the next poll tells of it again.
    this.isToldFull = false;
    const { period, month, limit, spent, leased, raise, monthEndsInMs, clockMs } = grant;
    this.known = { period, month, limit, spent, leased, raise, monthEndsInMs, clockMs, receivedAtMs: nowMs };
    this.knownUntilMs = Math.floor(untilMs);
  }

  /** A poll has told that the budget is full: the next call asks the store. */
  noteFull(): void {
    this.isToldFull = true;
  }

  /** What is known of it, or null before the first answer. What this memory has not given away is not leased. */
  get state(): BudgetState | null {
    if (this.known === null) return null;
    const { period, limit, spent, leased, raise, clockMs, monthEndsInMs } = this.known;
    const endsAtMs = this.account.type === 'total' ? null : clockMs + monthEndsInMs;
    let reserved = leased;
    for (const lease of this.leases) if (lease.period === period) reserved -= lease.remaining;
    return { period, endsAtMs, limit, spent, leased: reserved > 0n ? reserved : 0n, raise };
  }

  /** Notes what a call has drawn. */
  noteDrawn(amount: number, nowMs: number): void {
    this.flow ??= new DemandEstimator();
    this.flow.add(amount, nowMs);
  }

  /** About what calls have drawn within the last two seconds. */
  drawnOfLate(nowMs: number): number {
    return this.flow?.recent(nowMs) ?? 0;
  }

  /** Whether a call that reserves nothing passes: null = unknown. */
  isOpen(nowMs: number, notices: FullNotices): boolean | null {
    if (this.known === null || this.isToldFull) return null;
    if (nowMs >= this.knownUntilMs && !(nowMs < this.openUntilMs && notices.cover(this.askedAtMs, nowMs))) return null;
    const { limit, spent, leased } = this.known;
    // A full budget is believed only as long as a refusal is remembered: it may have been raised or freed since.
    return limit === null || spent + leased < limit ? true : null;
  }

  rememberRefusal(need: bigint, untilMs: number, nowMs: number): void {
    this.refusedNeed = nowMs < this.refusedUntilMs && this.refusedNeed < need ? this.refusedNeed : need;
    this.refusedUntilMs = Math.floor(untilMs);
  }

  isRefused(need: bigint, nowMs: number): boolean {
    return nowMs < this.refusedUntilMs && need >= this.refusedNeed;
  }

  forgetRefusal(nowMs: number): void {
    this.freedAtMs = nowMs;
    this.refusedUntilMs = 0;
  }

  forgetKnowledge(): void {
    this.generation++;
    this.known = null;
    this.knownUntilMs = 0;
    this.askedAtMs = 0;
    this.openUntilMs = 0;
    this.isToldFull = false;
    this.refusedUntilMs = 0;
  }

  get isQuiet(): boolean {
    return !this.isAsking && this.waiting.length === 0 && this.jointCalls === 0;
  }
}
