/** How many requests one party may send. */
export interface RequestRateLimits {
  readonly perMinute: number;
  /** What may come at the same instant, after a time of silence. */
  readonly burst: number;
}

/**
 * Parties that are remembered; the one that was silent for the longest time, whose bucket is most likely full, is
 * forgotten.
 */
const MAX_PARTIES = 10_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** A token bucket for each party, in the memory of this process. It knows no clock. */
export class RequestRate {
  private readonly buckets = new Map<string, Bucket>();

  constructor(private readonly limits: RequestRateLimits) {}

  /** Parties that are remembered. */
  get size(): number {
    return this.buckets.size;
  }

  /**
   * Takes `weight` tokens; returns null, or the milliseconds until there are as many. A weight beyond the burst is one
   * of the burst.
   */
  take(party: string, weight: number, nowMs: number): number | null {
    const { burst } = this.limits;
    const bucket = this.bucketOf(party, nowMs);
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

  /**
   * The bucket of a party, which is now the one used last. The one that was not used for the longest time makes room.
   */
  private bucketOf(party: string, nowMs: number): Bucket {
    const bucket = this.buckets.get(party) ?? { tokens: this.limits.burst, atMs: nowMs };
    this.buckets.delete(party);
    if (this.buckets.size >= MAX_PARTIES) this.buckets.delete(this.buckets.keys().next().value!);
    this.buckets.set(party, bucket);
    return bucket;
  }
}
