import type { QuotaClock } from './quota-clock.js';
import type { LeaseReturn, PermitReturn, QuotaStore } from './quota-store.js';

/** Returns of one statement, and slices that may wait; more than that the janitor closes in time. */
const BATCH = 200;
const MOST = 10_000;
/** Permits that may wait: those of all windows in memory, nearly. More count until their bucket has left. */
const MOST_PERMITS = 300_000;
const RETRY_MS = 250;
/** So many times slices fail while permits wait; then permits go without them: it may not be the connection. */
const MOST_FAILURES = 4;
/** How often it is looked whether asks are still under way. */
const LOOK_MS = 10;

/**
 * What is on its way back to the store. Slices are sent until it is known that they arrived (their return number
 * makes that safe); permits are sent once and an unknown outcome is forgotten, because they have no such number. So
 * permits wait until slices have arrived: what fails for them would fail for permits too, and lose them. They go next
 * then, however many slices came meanwhile.
 */
export class LeaseReturnQueue {
  private readonly leases = new Map<string, LeaseReturn>();
  private windows: PermitReturn[] = [];
  private isSending = false;
  private notBeforeMs = 0;
  /** Of slices, one after the other, since permits wait. */
  private failures = 0;
  /** The last statement was of slices, and these arrived. */
  private hasArrived = false;
  private whenEmpty: (() => void)[] = [];

  constructor(private readonly store: QuotaStore) {}

  get size(): number {
    return this.leases.size + this.windows.length;
  }

  addLease(back: LeaseReturn): void {
    if (this.leases.size < MOST) this.leases.set(back.leaseId, back);
  }

  addPermits(back: PermitReturn): void {
    if (this.windows.length === 0) this.failures = 0;
    if (this.windows.length < MOST_PERMITS) this.windows.push(back);
  }

  /** Sends nothing before then, unless released: it is being looked at which leases a new history has. */
  holdUntil(atMs: number): void {
    this.notBeforeMs = Math.max(this.notBeforeMs, atMs);
  }

  release(): void {
    this.notBeforeMs = 0;
  }

  /** Sends what waits, one call after the other. */
  flush(now: () => number): void {
    if (this.isSending || this.size === 0 || now() < this.notBeforeMs) return;
    const mayGo = this.hasArrived || this.failures >= MOST_FAILURES;
    const goAlone = this.leases.size === 0 || (mayGo && this.windows.length > 0);
    const leases = goAlone ? [] : [...firstOf(this.leases.values(), BATCH)];
    const windows = goAlone ? this.windows.splice(0, BATCH) : [];
    this.isSending = true;
    this.hasArrived = false;
    this.store.giveBack({ leases, windows }).then(
      () => {
        for (const back of leases) this.leases.delete(back.leaseId);
        this.failures = 0;
        this.hasArrived = !goAlone;
        this.settled();
        this.flush(now);
      },
      () => {
        this.failures = goAlone ? 0 : this.failures + 1;
        this.holdUntil(now() + RETRY_MS);
        this.settled();
      },
    );
  }

  /** Resolves once nothing is left to send. */
  drained(): Promise<void> {
    return this.size === 0 && !this.isSending
      ? Promise.resolve()
      : new Promise((resolve) => this.whenEmpty.push(resolve));
  }

  private settled(): void {
    this.isSending = false;
    if (this.size > 0) return;
    for (const resolve of this.whenEmpty.splice(0)) resolve();
  }
}

/** Resolves once no ask is under way and what these were granted has been returned too, or after `mostMs`. */
export async function drainedWithin(
  mostMs: number,
  asksUnderWay: () => number,
  returned: () => Promise<unknown>,
  clock: QuotaClock,
): Promise<void> {
  const after = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
  const untilMs = clock.monotonicMs() + mostMs;
  while (asksUnderWay() > 0) {
    const leftMs = untilMs - clock.monotonicMs();
    if (leftMs <= 0) return;
    await after(Math.min(LOOK_MS, leftMs));
  }
  await Promise.race([returned(), after(Math.max(0, untilMs - clock.monotonicMs()))]);
}

function* firstOf<T>(items: Iterable<T>, count: number): Iterable<T> {
  let left = count;
  for (const item of items) {
    if (left-- <= 0) return;
    yield item;
  }
}
