import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FairQueue } from './fair-queue.js';

describe('FairQueue', () => {
  it('gives items in turns, each party its own in order', () => {
    const queue = new FairQueue<string>(10, 4);
    for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) queue.offer(item[0]!, item, 0);
    expect(queue.take(1)).toEqual(['a1', 'b1', 'c1', 'a2']);
    expect(queue.take(2)).toEqual(['c2', 'a3']);
    expect(queue.size).toBe(0);
  });

  it('lets a flood lose its own items, and no other party any', () => {
    const queue = new FairQueue<string>(5, 10);
    queue.offer('quiet', 'q1', 0);
    const lost = Array.from({ length: 100 }, (_, n) => queue.offer('flood', `f${n}`, 0)).filter(
      (item) => item !== null,
    );
    expect(lost).toHaveLength(96);
    expect(queue.offer('quiet', 'q2', 0)).toMatch(/^f/);
    expect(queue.take(1).filter((item) => item.startsWith('q'))).toEqual(['q1', 'q2']);
  });

  it('is ready since its first item came or since something was taken, and full with as many as a commit has', () => {
    const queue = new FairQueue<string>(10, 2);
    expect(queue.ready()).toBeNull();
    queue.offer('a', 'a1', 100);
    expect(queue.ready()).toEqual({ isFull: false, sinceMs: 100 });
    for (const item of ['a2', 'a3']) queue.offer('a', item, 110);
    expect(queue.ready()).toEqual({ isFull: true, sinceMs: 100 });
    queue.take(120);
    expect(queue.ready()).toEqual({ isFull: false, sinceMs: 120 });
  });

  it('never holds more than its capacity, and loses nothing that is not reported', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 60 }),
        fc.integer({ min: 1, max: 10 }),
        (offers, capacity) => {
          const queue = new FairQueue<number>(capacity, 100);
          const lost = offers.map((party, n) => queue.offer(party, n, 0)).filter((item) => item !== null);
          expect(queue.size).toBeLessThanOrEqual(capacity);
          expect([...lost, ...queue.take(1)].sort((a, b) => a - b)).toEqual(offers.map((_, n) => n));
        },
      ),
    );
  });
});
