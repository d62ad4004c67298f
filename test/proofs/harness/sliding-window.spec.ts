import { describe, expect, it } from '@jest/globals';
import { mostWithin } from './sliding-window.js';

const at = (start: number, tookMs = 1) => ({ start, end: start + tookMs });

describe('the checker of rate limits', () => {
  it('finds one call too many, wherever the interval begins', () => {
    const even = Array.from({ length: 600 }, (_, index) => at(index * 100));
    expect(mostWithin(even, 60_000)).toBe(600);
    expect(mostWithin([...even, at(30_050)], 60_000)).toBe(601);
  });

  it('finds a burst over the boundary of two minutes', () => {
    const burst = Array.from({ length: 1_200 }, (_, index) => at(59_400 + index));
    expect(mostWithin(burst, 60_000)).toBe(1_200);
  });

  it('does not count a call that may have been decided outside', () => {
    expect(mostWithin([at(0), at(59_000, 5_000)], 60_000)).toBe(1);
  });

  it('does not depend on the order of the recording', () => {
    expect(mostWithin([at(50), at(10), at(30)], 41)).toBe(3);
  });
});
