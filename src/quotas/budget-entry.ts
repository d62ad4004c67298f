import { type AdmitRequest, amountIn } from './admission.js';
import type { Account, BudgetGrant, PoolKind } from './quota-store.js';
import { POOLED_TTL_SECONDS } from './quota-store.js';
import { DemandEstimator } from './demand-estimator.js';
import type { BudgetLease } from './lease.js';
import { NO_WAITERS, type Waiter } from './waiter.js';

/** What is kept of an answer of the store. */
export type KnownBudget = Pick<
  BudgetGrant,
  'period' | 'month' | 'limit' | 'spent' | 'leased' | 'raise' | 'monthEndsInMs' | 'clockMs'
> & {
  /** When the answer arrived, monotonic. */
  readonly receivedAtMs: number;
};

/** Of nearly every account: calls that reserve nothing need no lease. Never written to. */
export const NO_LEASES: BudgetLease[] = Object.freeze([]) as unknown as BudgetLease[];

/** What one replica knows and holds of one account. Instants are whole milliseconds, as those of leases of permits. */
export class BudgetEntry {
  leases: BudgetLease[] = NO_LEASES;
  waiting: Waiter[] = NO_WAITERS;
  /** An acquire of this account is under way: one at a time. */
  isAsking = false;
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

  /** Notes what the store has answered. */
  learn(grant: BudgetGrant, nowMs: number, untilMs: number): void {
    const { period, month, limit, spent, leased, raise, monthEndsInMs, clockMs } = grant;
    this.known = { period, month, limit, spent, leased, raise, monthEndsInMs, clockMs, receivedAtMs: nowMs };
    this.knownUntilMs = Math.floor(untilMs);
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
  isOpen(nowMs: number): boolean | null {
    if (this.known === null || nowMs >= this.knownUntilMs) return null;
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
    this.refusedUntilMs = 0;
  }

  get isQuiet(): boolean {
    return !this.isAsking && this.waiting.length === 0 && this.jointCalls === 0;
  }
}
