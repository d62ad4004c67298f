import { describe, expect, it } from '@jest/globals';
import { ClockWatch } from './clock-watch.js';

/** Polls once a second for `seconds`; the store's clock says what `clock` makes of the time. */
function watched(
  seconds: number,
  clock: (ms: number) => number,
  missing: (second: number) => boolean = () => false,
): ClockWatch {
  const watch = new ClockWatch();
  for (let second = 0; second <= seconds; second++) {
    const now = second * 1000;
    if (!missing(second)) watch.observe(now, now + 5, clock(now));
  }
  return watch;
}

describe('a watch over the store’s clock', () => {
  it('lasts while polls come and the clock runs evenly', () => {
    const order = watched(100, (ms) => 5_000_000 + ms).closeOrder(100_500, 10);
    expect(order?.beforeMs).toBe(5_100_000);
    expect(order?.watchedMs).toBeGreaterThanOrEqual(99_000);
  });

  it.each([1_500, -1_500, 3_600_000])('starts anew when the clock steps by %i ms', (step) => {
    const order = watched(100, (ms) => 5_000_000 + ms + (ms >= 90_000 ? step : 0)).closeOrder(100_500, 10);
    expect(order?.watchedMs).toBeLessThanOrEqual(10_000);
  });

  it('sees a step of 30 s also after it has lasted for a day, and tells it once', () => {
    const watch = watched(100_000, (ms) => 5_000_000 + ms);
    expect(watch.observe(100_001_000, 100_001_005, 5_000_000 + 100_001_000 + 30_000)).toBe(false);
    expect(watch.observe(100_002_000, 100_002_005, 5_000_000 + 100_002_000 + 30_000)).toBe(true);
    expect(watch.closeOrder(100_002_500, 10)?.watchedMs).toBeLessThanOrEqual(1_000);
  });

  it('lasts over slow polls, however each answer lies in its round trip', () => {
    const watch = new ClockWatch();
    for (let second = 0; second <= 20; second++) {
      const now = second * 1_000;
      expect(watch.observe(now, now + 900, 5_000_000 + now + (second % 2) * 900)).toBe(true);
    }
    expect(watch.closeOrder(20_500, 10)?.watchedMs).toBeGreaterThanOrEqual(18_000);
  });

  it('starts anew when the clock creeps away in small steps', () => {
    const order = watched(100, (ms) => 5_000_000 + ms * 1.02).closeOrder(100_500, 10);
    expect(order?.watchedMs).toBeLessThan(99_000);
  });

  it('starts anew after a gap of more than 3 s', () => {
    const order = watched(
      100,
      (ms) => ms,
      (second) => second > 80 && second < 85,
    ).closeOrder(100_500, 10);
    expect(order?.watchedMs).toBeLessThanOrEqual(15_000);
  });

  it('says nothing before it has watched, nor when the last poll is old', () => {
    expect(new ClockWatch().closeOrder(0, 10)).toBeNull();
    expect(watched(100, (ms) => ms).closeOrder(103_500, 10)).toBeNull();
  });
});
