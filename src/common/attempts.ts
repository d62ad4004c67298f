/** A failure without a success behind it counts for this long; after it nothing is known, since nothing was tried. */
const REMEMBERED_MS = 10_000;

/** Work that takes longer than this hangs: what waits for it has been refused by then. */
const HANGING_MS = 2_000;

/** What is known of work of one kind by the attempts at it: none is made to find out. */
export class Attempts {
  private failedAtMs = Number.NEGATIVE_INFINITY;
  private readonly underWay = new Set<{ readonly sinceMs: number }>();

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  /** Runs `work` as an attempt. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const attempt = { sinceMs: this.nowMs() };
    this.underWay.add(attempt);
    try {
      const result = await work();
      this.succeeded();
      return result;
    } catch (error) {
      this.failed();
      throw error;
    } finally {
      this.underWay.delete(attempt);
    }
  }

  succeeded(): void {
    this.failedAtMs = Number.NEGATIVE_INFINITY;
  }

  failed(): void {
    this.failedAtMs = this.nowMs();
  }

  /** Whether the last attempt of late failed, or one that is under way hangs. */
  get areFailing(): boolean {
    const nowMs = this.nowMs();
    if (nowMs - this.failedAtMs <= REMEMBERED_MS) return true;
    // In the order in which they began.
    for (const { sinceMs } of this.underWay) return nowMs - sinceMs > HANGING_MS;
    return false;
  }
}
