import { describe, expect, it } from '@jest/globals';
import { RefusalTally } from './refusal-tally.js';

const LIMITS = { singly: 2, windowMs: 60_000, maxKinds: 2 };

describe('RefusalTally', () => {
  it('tells the first of a kind singly and counts the rest', () => {
    const tally = new RefusalTally<string>(LIMITS);
    const told = ['a', 'b', 'c', 'd'].map((example) => tally.tellsSingly('ada', 'any', example, 0));
    expect(told).toEqual([true, true, false, false]);
    expect(tally.close(59_999)).toEqual([]);
    expect(tally.close(60_000)).toEqual([{ example: 'd', count: 2, isShared: false }]);
  });

  it('begins anew after its window', () => {
    const tally = new RefusalTally<string>(LIMITS);
    for (const example of ['a', 'b', 'c']) tally.tellsSingly('ada', 'any', example, 0);
    tally.close(60_000);
    expect(tally.tellsSingly('ada', 'any', 'd', 60_000)).toBe(true);
    expect(tally.close(Infinity)).toEqual([]);
  });

  it('keeps kinds apart', () => {
    const tally = new RefusalTally<string>(LIMITS);
    for (const example of ['a', 'b', 'c']) tally.tellsSingly('ada', 'any', example, 0);
    expect(tally.tellsSingly('bob', 'any', 'x', 0)).toBe(true);
  });

  it('counts together what it has no memory to tell apart', () => {
    const tally = new RefusalTally<string>(LIMITS);
    const told = Array.from({ length: 1_000 }, (_, n) =>
      tally.tellsSingly(`user ${n}`, `action ${n % 3}`, String(n), 0),
    );
    expect(told.filter(Boolean)).toHaveLength(2);
    const closed = tally.close(60_000);
    expect(closed).toHaveLength(3);
    expect(closed.every(({ isShared }) => isShared)).toBe(true);
    expect(closed.reduce((sum, { count }) => sum + count, 0)).toBe(998);
  });
});
