/**
 * The database's clock as this process knows it: an offset to the monotonic clock, taken with every poll, so that a
 * wall clock that jumps here neither ends nor prolongs a key.
 */
export class DatabaseClock {
  private offsetMs: number | null = null;

  /** The database said `databaseNowMs` to a question that was sent and answered at these monotonic instants. */
  observe(databaseNowMs: number, sentAtMs: number, answeredAtMs: number): void {
    this.offsetMs = databaseNowMs - (sentAtMs + answeredAtMs) / 2;
  }

  /** Unix milliseconds by the database's clock, or null before its first answer. */
  nowMs(monotonicMs: number): number | null {
    return this.offsetMs === null ? null : monotonicMs + this.offsetMs;
  }
}
