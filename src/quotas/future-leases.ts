import type { CloseOrder, FutureLease } from './quota-store.js';

/** For clocks that do not run alike. */
const DRIFT = 0.02;
const MARGIN_MS = 1_000;

/**
 * Leases that were granted while the store's clock was ahead. Their hold ends by the clock in an hour, or in a year;
 * in truth it is over one hold after they were first seen. A janitor closes one only if it has seen it in the future
 * all that time, and its watch over the clock has lasted as long: else an outage, in which no caller could settle, or a
 * clock that goes to and fro would be charged to the budget.
 */
export class FutureLeases {
  private firstSeen = new Map<string, number>();

  /** Leases to close now, of those that were `found` at `nowMs`. `order` is what the watch over the clock says. */
  due(found: readonly FutureLease[], nowMs: number, order: CloseOrder | null): string[] {
    this.firstSeen = new Map(found.map(({ id }) => [id, this.firstSeen.get(id) ?? nowMs]));
    const watchedMs = order?.watchedMs ?? 0;
    return found
      .filter(({ id, holdMs }) => {
        const neededMs = holdMs * (1 + DRIFT) + MARGIN_MS;
        return watchedMs >= neededMs && nowMs - (this.firstSeen.get(id) ?? nowMs) >= neededMs;
      })
      .map(({ id }) => id);
  }
}
