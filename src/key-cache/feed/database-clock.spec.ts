import { describe, expect, it } from '@jest/globals';
import { DatabaseClock } from './database-clock.js';

describe('DatabaseClock', () => {
  it('goes on by the monotonic clock from what the database said', () => {
    const clock = new DatabaseClock();
    expect(clock.nowMs(0)).toBeNull();
    clock.observe(1_000_000, 100, 110);
    expect(clock.nowMs(105)).toBe(1_000_000);
    expect(clock.nowMs(2_105)).toBe(1_002_000);
  });
});
