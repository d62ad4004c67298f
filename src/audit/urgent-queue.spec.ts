import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { UrgentQueue } from './urgent-queue.js';

const [MAX_ROWS, MAX_QUEUED] = [3, 5];
const queue = () => new UrgentQueue<string>(MAX_ROWS, MAX_QUEUED);

describe('UrgentQueue', () => {
  it('is ready since its first item waits, and full with as many as a commit has', () => {
    const q = queue();
    expect(q.ready()).toBeNull();
    q.offer('a', false, 100);
    q.offer('b', true, 110);
    expect(q.ready()).toEqual({ isFull: false, sinceMs: 100 });
    q.offer('c', false, 120);
    expect(q.ready()).toEqual({ isFull: true, sinceMs: 100 });
  });

  it('takes urgent items before patient ones, as many as a commit has', () => {
    const q = queue();
    for (const item of ['a', 'b', 'c']) q.offer(item, false, 100);
    q.offer('urgent', true, 101);
    expect(q.take()).toEqual(['urgent', 'a', 'b']);
    expect(q.take()).toEqual(['c']);
  });

  it('refuses what it has no room for', () => {
    const q = queue();
    const taken = Array.from({ length: 7 }, (_, index) => q.offer(String(index), false, 0));
    expect(taken).toEqual([true, true, true, true, true, false, false]);
    expect(q.offer('urgent', true, 0)).toBe(true);
  });

  it('begins with what was put back', () => {
    const q = queue();
    for (const item of ['a', 'b', 'c', 'd']) q.offer(item, false, 100);
    expect(q.putBack(q.take(), 150)).toEqual([]);
    expect(q.take()).toEqual(['a', 'b', 'c']);
  });

  it('gives back what is put back and finds no room any more', () => {
    const q = queue();
    for (const item of ['a', 'b', 'c']) q.offer(item, false, 100);
    const batch = q.take();
    for (const item of ['d', 'e', 'f']) q.offer(item, false, 130);
    expect(q.putBack(batch, 150)).toEqual(['c']);
    expect(q.size).toBe(5);
  });

  it('loses nothing, invents nothing and keeps the order of each kind, whatever happens', () => {
    const act = fc.constantFrom('urgent', 'patient', 'take', 'fail');
    fc.assert(
      fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
        const q = new UrgentQueue<{ n: number; isUrgent: boolean }>(MAX_ROWS, MAX_QUEUED);
        const [offered, lost]: [number[], number[]] = [[], []];
        const landed: { n: number; isUrgent: boolean }[] = [];
        const fail = () => {
          const batch = q.take();
          const noRoom = q.putBack(
            batch.filter(({ isUrgent }) => !isUrgent),
            0,
          );
          lost.push(...[...batch.filter(({ isUrgent }) => isUrgent), ...noRoom].map(({ n }) => n));
        };
        for (const [n, one] of acts.entries()) {
          const isUrgent = one === 'urgent';
          if ((isUrgent || one === 'patient') && q.offer({ n, isUrgent }, isUrgent, n)) offered.push(n);
          if (one === 'take') landed.push(...q.take());
          if (one === 'fail') fail();
        }
        while (q.size > 0) landed.push(...q.take());
        const ascending = (numbers: number[]) => [...numbers].sort((x, y) => x - y);
        expect(ascending([...landed.map(({ n }) => n), ...lost])).toEqual(offered);
        for (const kind of [true, false]) {
          const numbers = landed.filter(({ isUrgent }) => isUrgent === kind).map(({ n }) => n);
          expect(numbers).toEqual(ascending(numbers));
        }
      }),
    );
  });
});
