import { describe, expect, it } from '@jest/globals';
import { LOSSES, type RefusedCall, RefusedCalls } from './refused-calls.js';

const MINUTE_MS = 60_000;
/** The start of a minute. */
const START_MS = 1_790_000_040_000;

describe('RefusedCalls', () => {
  const call = (keyId: string) => ({ keyId }) as RefusedCall;
  /** Notes calls, and gives how many were kept. */
  const note = (calls: RefusedCalls, count: number, keyOf: (index: number) => string, nowMs = START_MS) => {
    let kept = 0;
    for (let index = 0; index < count; index += 1) {
      if (!calls.admits(keyOf(index), nowMs)) continue;
      calls.add(call(keyOf(index)));
      kept += 1;
    }
    return kept;
  };
  const losses = (calls: RefusedCalls) => LOSSES.map((loss) => calls.lost(loss)).reduce((sum, lost) => sum + lost, 0);

  it('keeps 20 of a key in a minute, and those of other keys', () => {
    const calls = new RefusedCalls(true, () => 1);
    expect(note(calls, 500, () => 'a')).toBe(20);
    expect(note(calls, 1, () => 'b')).toBe(1);
    expect(note(calls, 500, () => 'a', START_MS + MINUTE_MS - 1)).toBe(0);
    expect(note(calls, 500, () => 'a', START_MS + MINUTE_MS)).toBe(20);
    expect([calls.lost('minute'), losses(calls)]).toEqual([480 + 500 + 480, 480 + 500 + 480]);
  });

  it('keeps 1000 in a second, a share of it where replicas share it, and counts the rest', () => {
    for (const [replicas, share] of [
      [1, 1_000],
      [3, 333],
      [5_000, 1],
      [0, 1_000],
    ] as const) {
      const calls = new RefusedCalls(true, () => replicas);
      expect(note(calls, 10_000, (index) => `key ${index}`)).toBe(share);
      expect([calls.lost('rate'), calls.queued]).toEqual([10_000 - share, share]);
      expect(note(calls, 10_000, (index) => `key ${index}`, START_MS + 1_000)).toBe(share);
    }
  });

  it('holds no more than its bound while nothing is taken, and every call is kept or counted', () => {
    const calls = new RefusedCalls(true, () => 1);
    let kept = 0;
    for (let second = 0; second < 10; second += 1)
      kept += note(calls, 1_500, (index) => `key ${index}`, START_MS + second * 1_000);
    expect([kept, calls.queued]).toEqual([2_000, 2_000]);
    expect(calls.lost('memory')).toBeGreaterThan(0);
    expect(kept + losses(calls)).toBe(15_000);
    expect(calls.take()).toHaveLength(2_000);
    expect([calls.queued, note(calls, 1, () => 'a', START_MS + 20_000)]).toEqual([0, 1]);
  });

  it('keeps nothing and counts nothing where it is off', () => {
    const calls = new RefusedCalls(false, () => 1);
    expect([note(calls, 100, () => 'a'), calls.queued, losses(calls)]).toEqual([0, 0, 0]);
  });
});
