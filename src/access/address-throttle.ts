import { createHmac, randomBytes } from 'node:crypto';
import { networksOf } from '../common/address-networks.js';
import { DomainError } from '../common/domain-error.js';

/** Addresses share this many counters, so that memory stays bounded however many there are. */
const COUNTERS = 65_536;

/** How often one address may knock. */
export interface Allowance {
  /** Names the window in the `RateLimit` headers. */
  readonly name: string;
  readonly requests: number;
  readonly seconds: number;
}

/** What one counter has left after a request. */
interface Counted {
  readonly isAdmitted: boolean;
  readonly remaining: number;
  readonly msBeforeNext: number;
}

/** Windows of one length, each from its first request on: how many requests, and when it ends. */
class Windows {
  private readonly requests = new Uint32Array(COUNTERS);
  private readonly endsAtMs = new Float64Array(COUNTERS).fill(Number.NEGATIVE_INFINITY);

  count(counter: number, limit: number, lengthMs: number, nowMs: number): Counted {
    if (nowMs >= this.endsAtMs[counter]!) {
      this.endsAtMs[counter] = nowMs + lengthMs;
      this.requests[counter] = 0;
    }
    this.requests[counter]! += 1;
    const remaining = limit - this.requests[counter]!;
    return {
      isAdmitted: remaining >= 0,
      remaining: Math.max(0, remaining),
      msBeforeNext: this.endsAtMs[counter]! - nowMs,
    };
  }
}

/**
 * Counts the requests of each address, and of the networks around it, in this process' memory: a wider network may send
 * more, see `networksOf`. Which networks share a counter is drawn anew in each process, so that no client can choose to
 * share the counter of another. Time is monotonic: a host whose clock jumps begins no window anew.
 */
export class AddressThrottle {
  /** By how many times the allowance a network has. */
  private readonly windows = new Map<number, Windows>();
  private readonly draw = randomBytes(16);

  constructor(
    private readonly allowance: Allowance,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /**
   * Counts one request, and says in headers what is left, also when it is refused.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS with the time until the address may send again
   * @see draft-ietf-httpapi-ratelimit-headers
   */
  admit(ip: string | null, setHeaders: (headers: Record<string, string>) => unknown): void {
    // Whole milliseconds, whose sums are exact: a window that has just begun ends after its length, and no later.
    const nowMs = Math.floor(this.nowMs());
    let least: Counted | null = null;
    // The narrowest first: a host that is refused does not use up what its neighbours may send.
    for (const { network, share } of networksOf(ip)) {
      const counted = this.count(network, share, nowMs);
      if (!counted.isAdmitted) {
        setHeaders(this.headersFor(counted));
        throw new DomainError('throttled', 'TOO_MANY_REQUESTS', 'Too many requests from this network.', {
          retryAfterSeconds: Math.max(1, Math.ceil(counted.msBeforeNext / 1000)),
        });
      }
      if (least === null || counted.remaining < least.remaining) least = counted;
    }
    if (least !== null) setHeaders(this.headersFor(least));
  }

  private count(network: string, share: number, nowMs: number): Counted {
    const { requests, seconds } = this.allowance;
    const windows = this.windows.get(share) ?? new Windows();
    this.windows.set(share, windows);
    return windows.count(this.counterOf(network), requests * share, seconds * 1000, nowMs);
  }

  private headersFor({ remaining, msBeforeNext }: Counted): Record<string, string> {
    const { name, requests, seconds } = this.allowance;
    return {
      'RateLimit-Policy': `"${name}";q=${requests};w=${seconds}`,
      RateLimit: `"${name}";r=${remaining};t=${Math.ceil(msBeforeNext / 1000)}`,
    };
  }

  private counterOf(network: string): number {
    return createHmac('sha256', this.draw).update(network).digest().readUInt32BE(0) % COUNTERS;
  }
}
