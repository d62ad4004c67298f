import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { usedUpAtMs } from './budget-forecast.js';

const DAY_MS = 86_400_000;
/** The tenth day of a month, at noon. */
const NOW_MS = Date.UTC(2026, 10, 10, 12);

describe('the forecast of a budget', () => {
  it('goes on as it was spent so far', () => {
    // 50 of 100 in nine and a half days: the other 50 in as many.
    expect(usedUpAtMs(50n, { spent: 50n, overMs: 9.5 * DAY_MS }, NOW_MS)).toBe(NOW_MS + 9.5 * DAY_MS);
    expect(usedUpAtMs(100n, { spent: 700n, overMs: 7 * DAY_MS }, NOW_MS)).toBe(NOW_MS + DAY_MS);
  });

  it('is now where nothing is left, however short the time', () => {
    for (const left of [0n, -5n]) expect(usedUpAtMs(left, { spent: 0n, overMs: 0 }, NOW_MS)).toBe(NOW_MS);
  });

  it('does not exist where nothing was spent, or in the first day', () => {
    expect(usedUpAtMs(100n, { spent: 0n, overMs: 9 * DAY_MS }, NOW_MS)).toBeNull();
    expect(usedUpAtMs(100n, { spent: 99n, overMs: DAY_MS - 1 }, NOW_MS)).toBeNull();
    expect(usedUpAtMs(100n, { spent: 99n, overMs: 0 }, NOW_MS)).toBeNull();
    expect(usedUpAtMs(100n, { spent: 99n, overMs: DAY_MS }, NOW_MS)).not.toBeNull();
  });

  it('is an instant after now or none, whatever the amounts', () => {
    const amount = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n });
    fc.assert(
      fc.property(amount, amount, fc.double({ min: 0, max: 40 * DAY_MS, noNaN: true }), (remaining, spent, overMs) => {
        const at = usedUpAtMs(remaining, { spent, overMs }, NOW_MS);
        if (at === null) return;
        expect(at).toBeGreaterThanOrEqual(NOW_MS);
        expect(Number.isNaN(new Date(at).getTime())).toBe(false);
      }),
    );
  });
});
