import type { Admission, AdmitRequest, Refused } from './admission.js';
import type { BudgetEntry } from './budget-entry.js';
import type { BudgetLease } from './lease.js';

/** A call that waits for the authority. */
export class Waiter {
  readonly answer: Promise<Admission>;
  /** Parts of it that are queued or asked. */
  pending = 0;
  rounds = 0;
  isDone = false;
  /** The first refusal of one of its parts. */
  refusal: Refused | null = null;
  /** Leases of its own (long reservations), by account. */
  readonly own = new Map<BudgetEntry, BudgetLease>();
  /** Accounts that the authority found open for a call that holds nothing. */
  readonly open = new Set<BudgetEntry>();
  private resolve!: (admission: Admission) => void;

  constructor(
    readonly request: AdmitRequest,
    /** Order of arrival: the older goes first. */
    readonly order: number,
    readonly deadlineMs: number,
  ) {
    this.answer = new Promise((resolve) => (this.resolve = resolve));
  }

  finish(admission: Admission): void {
    this.isDone = true;
    this.resolve(admission);
  }
}

/** Puts a waiter into a queue at the place of its order; nearly always the end. */
export function enqueue(queue: Waiter[], waiter: Waiter): void {
  let at = queue.length;
  while (at > 0 && (queue[at - 1]?.order ?? 0) > waiter.order) at--;
  queue.splice(at, 0, waiter);
}
