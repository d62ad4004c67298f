import type { Admission, AdmitRequest, Refused } from './admission.js';
import type { BudgetEntry } from './budget-entry.js';
import type { BudgetLease } from './lease.js';
import type { Period } from './quota-store.js';
import type { WindowEntry } from './window-entry.js';

/** Slots that a call has been granted, and may be admitted with. */
export interface GrantedSlots {
  /** In the order of the accounts of the call. */
  readonly leaseIds: readonly string[];
  readonly month: Period;
  /** Monotonic: from then on it admits nothing. */
  readonly deadlineMs: number;
  readonly receivedAtMs: number;
  /** The store's clock when they were granted. */
  readonly clockMs: number;
}

/** A call that waits for the store. */
export class Waiter {
  readonly answer: Promise<Admission>;
  /** Parts of it that are queued or asked. */
  pending = 0;
  rounds = 0;
  isDone = false;
  /** The first refusal of one of its parts. */
  refusal: Refused | null = null;
  /** Null: none yet, or it needs none. */
  slots: GrantedSlots | null = null;
  /** Leases of its own (long reservations), by account; null: none. */
  private own: Map<BudgetEntry, BudgetLease> | null = null;
  /** What the store found open without anything to draw from it; null: none. */
  private open: (BudgetEntry | WindowEntry)[] | null = null;
  private resolve!: (admission: Admission) => void;

  constructor(
    readonly request: AdmitRequest,
    /** Order of arrival: the older goes first. */
    readonly order: number,
    readonly deadlineMs: number,
  ) {
    this.answer = new Promise((resolve) => (this.resolve = resolve));
  }

  /** A lease that the store granted to this call alone. */
  addOwn(entry: BudgetEntry, lease: BudgetLease): void {
    this.own ??= new Map();
    this.own.set(entry, lease);
  }

  findOwn(entry: BudgetEntry): BudgetLease | undefined {
    return this.own?.get(entry);
  }

  /** Takes the leases of its own out. */
  takeOwn(): Iterable<BudgetLease> {
    const own = this.own?.values() ?? [];
    this.own = null;
    return own;
  }

  /** The store found something left in this account, or lets the call pass this window uncounted. */
  foundOpen(entry: BudgetEntry | WindowEntry): void {
    (this.open ??= []).push(entry);
  }

  isOpen(entry: BudgetEntry | WindowEntry): boolean {
    return this.open !== null && this.open.includes(entry);
  }

  finish(admission: Admission): void {
    this.isDone = true;
    this.resolve(admission);
  }
}

/** An account or window that calls wait for. */
export interface Awaited {
  waiting: Waiter[];
}

/** The queue of everything that nobody waits for: nearly all of what is in memory. Never written to. */
export const NO_WAITERS: Waiter[] = Object.freeze([]) as unknown as Waiter[];

/** Puts a waiter into the queue at the place of its order; nearly always the end. */
export function enqueue(awaited: Awaited, waiter: Waiter): void {
  const queue = awaited.waiting;
  if (queue.length === 0) {
    // Exactly one place: an empty array that grows makes room for seventeen.
    awaited.waiting = [waiter];
    return;
  }
  let at = queue.length;
  while (at > 0 && (queue[at - 1]?.order ?? 0) > waiter.order) at--;
  queue.splice(at, 0, waiter);
}
