import { describe, expect, it } from '@jest/globals';
import { SuspendGuard } from './suspend-guard.js';

describe('SuspendGuard', () => {
  it('notices that the clocks have parted by more than is tolerated, once', () => {
    const guard = new SuspendGuard(1_000);
    expect(guard.hasParted(0, 0)).toBe(false);
    expect(guard.hasParted(10_000, 10_000)).toBe(false);
    expect(guard.hasParted(11_900, 11_000)).toBe(false);
    expect(guard.hasParted(72_000, 11_100)).toBe(true);
    expect(guard.hasParted(72_001, 11_101)).toBe(false);
    expect(guard.hasParted(60_000, 11_102)).toBe(true);
  });
});
