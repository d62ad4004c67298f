/** Addresses told apart in one minute; all others count together. */
const MAX_ADDRESSES = 10_000;
const MINUTE_MS = 60_000;

/** 401s of one minute. */
export interface StrangerMinute {
  readonly total: number;
  /** Most refused first. */
  readonly addresses: readonly { readonly ip: string; readonly count: number }[];
}

/**
 * Counts 401s by address and minute, in memory alone: a stranger must not be able to write to the audit chain,
 * whose head every revocation needs. Bounded, however many addresses there are.
 */
export class StrangerCounts {
  /** Since the process began. */
  total = 0;
  private minute = -1;
  private counts = new Map<string, number>();
  private inMinute = 0;

  count(ip: string, nowMs: number): void {
    this.turn(nowMs);
    this.total += 1;
    this.inMinute += 1;
    const known = this.counts.get(ip);
    if (known !== undefined || this.counts.size < MAX_ADDRESSES) this.counts.set(ip, (known ?? 0) + 1);
  }

  /** The running minute, with its `top` addresses. */
  current(nowMs: number, top: number): StrangerMinute {
    this.turn(nowMs);
    const addresses = [...this.counts].map(([ip, count]) => ({ ip, count })).sort((a, b) => b.count - a.count);
    return { total: this.inMinute, addresses: addresses.slice(0, top) };
  }

  private turn(nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (minute === this.minute) return;
    this.minute = minute;
    this.counts = new Map();
    this.inMinute = 0;
  }
}
