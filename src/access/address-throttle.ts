import { createHmac, randomBytes } from 'node:crypto';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { parseAddress } from '../common/address.js';
import { DomainError } from '../common/domain-error.js';

/** Addresses share this many counters, so that memory stays bounded however many there are. */
const COUNTERS = 65_536;
/** What one customer gets at least: whoever counts single IPv6 addresses counts nothing. @see RFC 6177 */
const IPV6_NETWORK_BITS = 64n;

/** How often one address may knock. */
export interface Allowance {
  /** Names the window in the `RateLimit` headers. */
  readonly name: string;
  readonly requests: number;
  readonly seconds: number;
}

/** What is left of an address' allowance after a request. */
export interface Remaining {
  readonly requests: number;
  readonly resetSeconds: number;
}

/**
 * Counts the requests of each address in this process' memory. IPv6 clients count by network (/64). Which addresses
 * share a counter is drawn anew in each process, so nobody can choose to share somebody else's.
 */
export class AddressThrottle {
  private readonly limiter: RateLimiterMemory;
  private readonly draw = randomBytes(16);

  constructor(private readonly allowance: Allowance) {
    this.limiter = new RateLimiterMemory({ points: allowance.requests, duration: allowance.seconds });
  }

  /** @throws DomainError 429 TOO_MANY_REQUESTS with the time until the address may knock again */
  async admit(ip: string | null): Promise<Remaining> {
    try {
      const left = await this.limiter.consume(this.counterOf(ip));
      return { requests: left.remainingPoints, resetSeconds: Math.ceil(left.msBeforeNext / 1000) };
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      throw new DomainError('throttled', 'TOO_MANY_REQUESTS', 'Too many requests from this address.', {
        retryAfterSeconds: Math.max(1, Math.ceil(refusal.msBeforeNext / 1000)),
      });
    }
  }

  /** @see draft-ietf-httpapi-ratelimit-headers */
  headersFor(left: Remaining): Record<string, string> {
    const { name, requests, seconds } = this.allowance;
    return {
      'RateLimit-Policy': `"${name}";q=${requests};w=${seconds}`,
      RateLimit: `"${name}";r=${left.requests};t=${left.resetSeconds}`,
    };
  }

  private counterOf(ip: string | null): number {
    const address = ip === null ? null : parseAddress(ip);
    const network =
      address === null ? (ip ?? '') : `${address.bits}:${address.bits === 128 ? address.value >> IPV6_NETWORK_BITS : address.value}`;
    return createHmac('sha256', this.draw).update(network).digest().readUInt32BE(0) % COUNTERS;
  }
}
