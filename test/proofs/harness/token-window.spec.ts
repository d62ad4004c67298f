import { describe, expect, it } from '@jest/globals';
import { type ReservingCall, mostTokens } from './token-window.js';

const MINUTE = 60_000;
const call = (start: number, reserved: number, used = reserved, endsAt = Infinity): ReservingCall => ({
  ...{ start, end: start + 1, reserved, used, endsAt },
});

describe('the checker of tokens by minute', () => {
  it('counts what is reserved until its end may have been booked, and what was used after', () => {
    expect(mostTokens([call(0, 100, 10, 50), call(40, 100, 10, 60)], MINUTE)).toBe(200);
    expect(mostTokens([call(0, 100, 10, 50), call(60, 100, 10, 70)], MINUTE)).toBe(110);
    // Of a call that never ends, what it reserved counts until its minute is over.
    expect(mostTokens([call(0, 100), call(59_998, 100)], MINUTE)).toBe(200);
    expect(mostTokens([call(0, 100), call(60_000, 100)], MINUTE)).toBe(100);
  });

  it('counts what was used in any minute, wherever it begins', () => {
    const even = Array.from({ length: 120 }, (_, index) => call(index * 1_000, 50, 10, index * 1_000 + 2));
    expect(mostTokens(even, MINUTE)).toBe(640);
    expect(mostTokens([], MINUTE)).toBe(0);
  });

  it('does not count a call that may have been let in outside', () => {
    expect(mostTokens([call(0, 10), { ...call(59_000, 10), end: 64_000 }], MINUTE)).toBe(10);
  });
});
