/** How many requests one party may send. */
export interface RequestRateLimits {
  readonly perMinute: number;
  /** What may come at the same instant, after a time of silence. */
  readonly burst: number;
}

/** Buckets that have filled up again are forgotten when there are this many. */
const MAX_PARTIES = 10_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** A token bucket for each party, in the memory of this process. It knows no clock. */
export class RequestRate {
  private readonly buckets = new Map<string, Bucket>();

  constructor(private readonly limits: RequestRateLimits) {}

  /**
   * Takes `weight` tokens; returns null, or the milliseconds until there are as many. A weight beyond the burst is one
   * of the burst.
   */
  take(party: string, weight: number, nowMs: number): number | null {
    const { burst } = this.limits;
    const bucket = this.buckets.get(party) ?? this.open(party, nowMs);
    bucket.tokens = Math.min(burst, bucket.tokens + (nowMs - bucket.atMs) * this.perMs);
    bucket.atMs = nowMs;
    const wanted = Math.min(weight, burst);
    if (bucket.tokens < wanted) return (wanted - bucket.tokens) / this.perMs;
    bucket.tokens -= wanted;
    return null;
  }

  private get perMs(): number {
    return this.limits.perMinute / 60_000;
  }

  private open(party: string, nowMs: number): Bucket {
    if (this.buckets.size >= MAX_PARTIES) this.forgetFull(nowMs);
    const bucket = { tokens: this.limits.burst, atMs: nowMs };
    this.buckets.set(party, bucket);
    return bucket;
  }

  private forgetFull(nowMs: number): void {
    const fullAfterMs = this.limits.burst / this.perMs;
    for (const [party, { atMs }] of this.buckets) if (nowMs - atMs >= fullAfterMs) this.buckets.delete(party);
  }
}
