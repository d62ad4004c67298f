/**
 * Notices that the host was suspended: its monotonic clock stood still while the wall clock went on, so that
 * everything measured by it looks younger than it is. A step of the wall clock looks the same and does no harm.
 */
export class SuspendGuard {
  private lastWallMs: number | null = null;
  private lastMonotonicMs = 0;

  constructor(private readonly toleranceMs: number) {}

  /** Whether the two clocks have parted since the last call, by more than is tolerated. */
  hasParted(wallMs: number, monotonicMs: number): boolean {
    const gapMs = this.lastWallMs === null ? 0 : wallMs - this.lastWallMs - (monotonicMs - this.lastMonotonicMs);
    this.lastWallMs = wallMs;
    this.lastMonotonicMs = monotonicMs;
    return gapMs > this.toleranceMs || gapMs < -this.toleranceMs;
  }
}
