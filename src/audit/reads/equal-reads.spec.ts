import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EqualReads } from './equal-reads.js';

const LIMITS = { windowMs: 60, kindsOfOne: 2, kinds: 5 };

describe('EqualReads', () => {
  it('tells the first of equal reads, and counts those that follow in one entry a window', () => {
    const reads = new EqualReads<string>(LIMITS);
    expect([1, 2, 3].map((n) => reads.isFirst('a', 'x', `r${n}`, n))).toEqual([true, false, false]);
    expect(reads.close(60)).toEqual([]);
    expect(reads.close(61)).toEqual([{ example: 'r3', count: 2, isMixed: false }]);
    expect(reads.isFirst('a', 'x', 'r4', 62)).toBe(false);
    expect(reads.close(121)).toEqual([{ example: 'r4', count: 1, isMixed: false }]);
  });

  it('forgets what did not go on', () => {
    const reads = new EqualReads<string>(LIMITS);
    reads.isFirst('a', 'x', 'r1', 0);
    expect(reads.close(60)).toEqual([]);
    expect(reads.isFirst('a', 'x', 'r2', 61)).toBe(true);
  });

  it('counts together what one principal reads beyond its share, and tells reads of others apart', () => {
    const reads = new EqualReads<string>(LIMITS);
    expect(['x', 'y', 'z', 'w'].map((name) => reads.isFirst('a', name, name, 0))).toEqual([true, true, false, false]);
    expect(reads.isFirst('b', 'x', 'x', 0)).toBe(true);
    expect(reads.close(60)).toEqual([{ example: 'w', count: 2, isMixed: true }]);
  });

  it('counts every read once', () => {
    const read = fc.record({
      party: fc.constantFrom('a', 'b', 'c'),
      name: fc.constantFrom('x', 'y', 'z'),
      afterMs: fc.integer({ min: 0, max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(read, { maxLength: 80 }), (all) => {
        const reads = new EqualReads<null>(LIMITS);
        let [nowMs, told] = [0, 0];
        for (const { party, name, afterMs } of all) {
          nowMs += afterMs;
          if (reads.isFirst(party, name, null, nowMs)) told += 1;
          told += reads.close(nowMs).reduce((sum, { count }) => sum + count, 0);
        }
        told += reads.close(Infinity).reduce((sum, { count }) => sum + count, 0);
        expect(told).toBe(all.length);
      }),
    );
  });
});
