import { createHmac, randomBytes } from 'node:crypto';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { addressIn } from '../common/address.js';
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

  /**
   * Counts one request, and says in headers what is left, also when it is refused.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS with the time until the address may knock again
   * @see draft-ietf-httpapi-ratelimit-headers
   */
  async admit(ip: string | null, setHeaders: (headers: Record<string, string>) => unknown): Promise<void> {
    try {
      setHeaders(this.headersFor(await this.limiter.consume(this.counterOf(ip))));
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      setHeaders(this.headersFor(refusal));
      throw new DomainError('throttled', 'TOO_MANY_REQUESTS', 'Too many requests from this address.', {
        retryAfterSeconds: Math.max(1, Math.ceil(refusal.msBeforeNext / 1000)),
      });
    }
  }

  private headersFor({ remainingPoints, msBeforeNext }: RateLimiterRes): Record<string, string> {
    const { name, requests, seconds } = this.allowance;
    return {
      'RateLimit-Policy': `"${name}";q=${requests};w=${seconds}`,
      RateLimit: `"${name}";r=${Math.max(0, remainingPoints)};t=${Math.ceil(msBeforeNext / 1000)}`,
    };
  }

  private counterOf(ip: string | null): number {
    const address = ip === null ? null : addressIn(ip);
    const network =
      address === null ? (ip ?? '') : `${address.bits}:${address.bits === 128 ? address.value >> IPV6_NETWORK_BITS : address.value}`;
    return createHmac('sha256', this.draw).update(network).digest().readUInt32BE(0) % COUNTERS;
  }
}
