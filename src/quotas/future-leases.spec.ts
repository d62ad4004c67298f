import { describe, expect, it } from '@jest/globals';
import type { CloseOrder, FutureLease } from './quota-store.js';
import { FutureLeases } from './future-leases.js';

const LEASE: FutureLease = { id: 'lease', holdMs: 75_000 };
/** Hold, 2 % of it for clocks that do not run alike, and a second. */
const NEEDED_MS = 77_500;

function watched(ms: number): CloseOrder {
  return { beforeMs: 0, watchedMs: ms, limit: 100 };
}

describe('a lease from the future of the clock', () => {
  it('is due once it has been seen there for its whole hold, under a watch that lasted as long', () => {
    const future = new FutureLeases();
    expect(future.due([LEASE], 0, watched(1e9))).toEqual([]);
    expect(future.due([LEASE], NEEDED_MS - 1, watched(1e9))).toEqual([]);
    expect(future.due([LEASE], NEEDED_MS, watched(1e9))).toEqual(['lease']);
  });

  it('is not due where the watch over the clock was broken meanwhile: callers could not settle', () => {
    const future = new FutureLeases();
    future.due([LEASE], 0, watched(1e9));
    expect(future.due([LEASE], NEEDED_MS, watched(NEEDED_MS - 1))).toEqual([]);
    expect(future.due([LEASE], NEEDED_MS, null)).toEqual([]);
  });

  it('is seen anew when it was out of the future in between', () => {
    const future = new FutureLeases();
    future.due([LEASE], 0, watched(1e9));
    future.due([], 10_000, watched(1e9));
    expect(future.due([LEASE], NEEDED_MS, watched(1e9))).toEqual([]);
    expect(future.due([LEASE], 2 * NEEDED_MS, watched(1e9))).toEqual(['lease']);
  });
});
