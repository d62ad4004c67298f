import { describe, expect, it } from '@jest/globals';
import { RequestRate } from './request-rate.js';

/** One a second. */
const LIMITS = { perMinute: 60, burst: 3 };

describe('RequestRate', () => {
  it('lets a burst through, then as many as the rate says', () => {
    const rate = new RequestRate(LIMITS);
    expect([0, 0, 0, 0].map(() => rate.take('a', 1, 0))).toEqual([null, null, null, 1000]);
    expect(rate.take('a', 1, 999)).toBeCloseTo(1);
    expect(rate.take('a', 1, 1000)).toBeNull();
    expect(rate.take('a', 1, 1000)).toBeCloseTo(1000);
  });

  it('counts each party by itself', () => {
    const rate = new RequestRate(LIMITS);
    for (let n = 0; n < 10; n += 1) rate.take('a', 1, 0);
    expect(rate.take('b', 1, 0)).toBeNull();
  });

  it('does not let silence add up to more than a burst', () => {
    const rate = new RequestRate(LIMITS);
    rate.take('a', 1, 0);
    expect([0, 0, 0, 0].map(() => rate.take('a', 1, 3_600_000) === null)).toEqual([true, true, true, false]);
  });

  it('takes a batch of any weight in the end', () => {
    const rate = new RequestRate(LIMITS);
    expect(rate.take('a', 100, 0)).toBeNull();
    expect(rate.take('a', 100, 0)).toBe(3000);
    expect(rate.take('a', 100, 3000)).toBeNull();
  });

  it('never lets more through than burst and rate allow, whatever the order', () => {
    const rate = new RequestRate(LIMITS);
    let taken = 0;
    for (let nowMs = 0; nowMs < 60_000; nowMs += 7) if (rate.take('a', 1, nowMs) === null) taken += 1;
    expect(taken).toBeGreaterThanOrEqual(60);
    expect(taken).toBeLessThanOrEqual(63);
  });

  it('remembers ten thousand parties at most, those that came last', () => {
    const rate = new RequestRate(LIMITS);
    for (let n = 0; n < 3; n += 1) rate.take('seldom', 1, 0);
    for (let n = 0; n < 3; n += 1) rate.take('often', 1, 0);
    for (let party = 0; party < 20_000; party += 1) {
      rate.take(`party ${party}`, 1, 0);
      if (party % 1_000 === 0) expect(rate.take('often', 1, 0)).not.toBeNull();
    }
    expect(rate.size).toBe(10_000);
    expect(rate.take('seldom', 1, 0)).toBeNull();
  });
});
