import type { BudgetEntry } from './budget-entry.js';
import type { AcquireAnswer, BudgetRequest, PermitClose, RateWindow, WindowAsk } from './quota-store.js';
import type { Waiter } from './waiter.js';
import type { WindowEntry } from './window-entry.js';

/** One account's part of a call: who waits for which need, and what the lease manager held to be true when it asked. */
export interface BudgetRecord {
  readonly entry: BudgetEntry;
  readonly generation: number;
  readonly waiters: readonly Waiter[];
  readonly ask: BudgetRequest;
  /** Its waiters are decided as a whole over several accounts, beside the one acquire that each has under way. */
  readonly isJoint: boolean;
}

/** One window's part of a call. */
export interface WindowRecord {
  readonly entry: WindowEntry;
  readonly generation: number;
  readonly waiters: readonly Waiter[];
  readonly ask: WindowAsk;
}

/** One call to the store that is under way. */
export interface AcquireCall {
  readonly sentMs: number;
  readonly budgets: readonly BudgetRecord[];
  readonly windows: readonly WindowRecord[];
  /** It draws from accounts of limits, whose locks others may hold. */
  readonly isOfLimits: boolean;
  /** It asks for permits ahead, and looks at open budgets: nothing waits for it. */
  readonly isRefill: boolean;
  /** Its waiters no longer wait for it; what it still grants is handed back. */
  isAbandoned: boolean;
}

/** What the lease manager does with the outcome of a call. */
export interface AcquireHandler {
  answered(call: AcquireCall, answer: AcquireAnswer): void;
  /** The outcome is unknown: for now (it takes too long), or `isOver`, for good. */
  failed(call: AcquireCall, isOver: boolean): void;
  /** Gives up what is held of the window, memory first, and says what to close. */
  closeAll(entry: WindowEntry, nowMs: number): readonly PermitClose[];
  /** Gives up what is over, and says what to close: that, and what was used of a lease that is still drawn from. */
  closeUsed(entry: WindowEntry, nowMs: number): readonly PermitClose[];
  /** Those of the windows that want permits ahead. */
  lowOf(windows: readonly RateWindow[], nowMs: number): readonly WindowEntry[];
  /** Whether leases may be asked for that live for an hour. */
  mayStand(nowMs: number): boolean;
}
