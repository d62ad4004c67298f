import { describe, expect, it } from '@jest/globals';
import { Clock } from './clock.js';

class HostClock extends Clock {
  wall = 1_000_000;
  monotonic = 0;

  override wallMs(): number {
    return this.wall;
  }

  override monotonicMs(): number {
    return this.monotonic;
  }
}

describe('the clock', () => {
  it('is the host’s before the first reading of the database’s', () => {
    const clock = new HostClock();
    expect(clock.now().getTime()).toBe(1_000_000);
    expect(clock.aheadMs()).toBeNull();
  });

  it('is the database’s afterwards, and a step of the host’s changes nothing', () => {
    const clock = new HostClock();
    clock.observe(1_300_000, 90, 110);
    clock.monotonic = 100;
    expect(clock.now().getTime()).toBe(1_300_000);
    clock.wall += 3_600_000;
    clock.monotonic = 2_100;
    expect(clock.now().getTime()).toBe(1_302_000);
  });

  it('tells how far the host’s clock is ahead', () => {
    const clock = new HostClock();
    clock.monotonic = 100;
    clock.observe(1_300_000, 100, 100);
    expect(clock.aheadMs()).toBe(-300_000);
  });
});
