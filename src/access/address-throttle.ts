import { createHmac, randomBytes } from 'node:crypto';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
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

/**
 * Counts the requests of each address, and of the networks around it, in this process' memory: a wider network may send
 * more, see `networksOf`. Which networks share a counter is drawn anew in each process, so that no client can choose to
 * share the counter of another.
 */
export class AddressThrottle {
  /** By how many times the allowance a network has. */
  private readonly limiters = new Map<number, RateLimiterMemory>();
  private readonly draw = randomBytes(16);

  constructor(private readonly allowance: Allowance) {}

  /**
   * Counts one request, and says in headers what is left, also when it is refused.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS with the time until the address may send again
   * @see draft-ietf-httpapi-ratelimit-headers
   */
  async admit(ip: string | null, setHeaders: (headers: Record<string, string>) => unknown): Promise<void> {
    const seen: RateLimiterRes[] = [];
    // The narrowest first: a host that is refused does not use up what its neighbours may send.
    for (const { network, share } of networksOf(ip)) {
      const counted = await this.consume(network, share);
      seen.push(counted.state);
      if (!counted.isAdmitted) {
        setHeaders(this.headersFor(counted.state));
        throw new DomainError('throttled', 'TOO_MANY_REQUESTS', 'Too many requests from this network.', {
          retryAfterSeconds: Math.max(1, Math.ceil(counted.state.msBeforeNext / 1000)),
        });
      }
    }
    setHeaders(this.headersFor(seen.reduce((least, one) => (one.remainingPoints < least.remainingPoints ? one : least))));
  }

  private async consume(network: string, share: number): Promise<{ isAdmitted: boolean; state: RateLimiterRes }> {
    try {
      return { isAdmitted: true, state: await this.limiterOf(share).consume(this.counterOf(network)) };
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      return { isAdmitted: false, state: refusal };
    }
  }

  private limiterOf(share: number): RateLimiterMemory {
    const { requests, seconds } = this.allowance;
    const limiter = this.limiters.get(share) ?? new RateLimiterMemory({ points: requests * share, duration: seconds });
    this.limiters.set(share, limiter);
    return limiter;
  }

  private headersFor({ remainingPoints, msBeforeNext }: RateLimiterRes): Record<string, string> {
    const { name, requests, seconds } = this.allowance;
    return {
      'RateLimit-Policy': `"${name}";q=${requests};w=${seconds}`,
      RateLimit: `"${name}";r=${Math.max(0, remainingPoints)};t=${Math.ceil(msBeforeNext / 1000)}`,
    };
  }

  private counterOf(network: string): number {
    return createHmac('sha256', this.draw).update(network).digest().readUInt32BE(0) % COUNTERS;
  }
}
