import { Injectable } from '@nestjs/common';
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import { addressIn } from '../common/address.js';
import { DomainError } from '../common/domain-error.js';

/** Wrong passwords one address may try on one account. */
const PER_ACCOUNT = { points: 20, duration: 15 * 60 };
/** Wrong passwords one address may try on all accounts; an office behind one address is many people. */
const PER_ADDRESS = { points: 100, duration: 15 * 60 };
/** Addresses, and pairs, remembered at once: some 20 MB at most. The oldest is forgotten for a new one. */
const MAX_ENTRIES = 50_000;

/**
 * Slows guessing of passwords: counted per address, and per address and account. Never per account alone, since that
 * would let a stranger lock its owner out. Counted by this replica, in memory.
 */
@Injectable()
export class PasswordThrottle {
  private readonly perAccount = new BoundedLimiter(PER_ACCOUNT, MAX_ENTRIES);
  private readonly perAddress = new BoundedLimiter(PER_ADDRESS, MAX_ENTRIES);

  /**
   * Runs `matches` if there are tries left. A try is counted before it is made, so that many at once do not slip through,
   * and given back when it was right. A right password whose code is still to come costs the account a try until the
   * sign-in succeeds, and the address none: an office behind one address would use them up.
   *
   * @param account what tells accounts apart, upper and lower case being the same; it need not exist
   * @throws DomainError 429 TOO_MANY_REQUESTS
   */
  async guard(ip: string | null, account: string, matches: () => Promise<boolean>): Promise<boolean> {
    const address = neighbourhood(ip);
    const pair = `${address} ${account.toLowerCase()}`;
    // The pair first: who hammers one account must not use up the tries of everybody behind his address.
    await this.perAccount.take(pair);
    await this.perAddress.take(address);
    const right = await matches().catch((refusal: unknown) => this.keepAddress(address, refusal));
    if (right) {
      await this.perAddress.giveBack(address);
      await this.perAccount.forget(pair);
    }
    return right;
  }

  private async keepAddress(address: string, refusal: unknown): Promise<never> {
    if (refusal instanceof DomainError && refusal.code === 'MFA_REQUIRED') await this.perAddress.giveBack(address);
    throw refusal;
  }

  /**
   * Runs `signIn` if the address has tries left, where an account is not known before. One that throws a refusal is
   * counted like a wrong password; what worked, and what could not be decided, is given back.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS
   */
  async guardAddress<T>(ip: string | null, signIn: () => Promise<T>): Promise<T> {
    const address = neighbourhood(ip);
    await this.perAddress.take(address);
    try {
      const result = await signIn();
      await this.perAddress.giveBack(address);
      return result;
    } catch (error) {
      if (error instanceof DomainError && error.kind === 'unavailable') await this.perAddress.giveBack(address);
      throw error;
    }
  }
}

/** A limiter that remembers at most `maxEntries` keys. */
class BoundedLimiter {
  private readonly limiter: RateLimiterMemory;
  /** In order of first use; entries that ran out leave when they get old. */
  private readonly known = new Set<string>();

  constructor(
    limit: { points: number; duration: number },
    private readonly maxEntries: number,
  ) {
    this.limiter = new RateLimiterMemory(limit);
  }

  async take(key: string): Promise<void> {
    if (!this.known.has(key)) await this.makeRoom();
    this.known.add(key);
    try {
      await this.limiter.consume(key);
    } catch (refusal) {
      throw tooManyTries((refusal as RateLimiterRes).msBeforeNext);
    }
  }

  async giveBack(key: string): Promise<void> {
    await this.limiter.reward(key);
  }

  async forget(key: string): Promise<void> {
    this.known.delete(key);
    await this.limiter.delete(key);
  }

  private async makeRoom(): Promise<void> {
    if (this.known.size < this.maxEntries) return;
    const [oldest] = this.known;
    if (oldest !== undefined) await this.forget(oldest);
  }
}

/** One subscriber has 2^64 IPv6 addresses: they count as one. */
function neighbourhood(ip: string | null): string {
  const address = ip === null ? null : addressIn(ip);
  if (address === null) return 'unknown';
  return address.bits === 128 ? `${(address.value >> 64n).toString(16)}::/64` : String(ip);
}

function tooManyTries(msBeforeNext: number): DomainError {
  return new DomainError('throttled', 'TOO_MANY_REQUESTS', 'Too many failed sign-ins from this address. Try again later.', {
    retryAfterSeconds: Math.max(1, Math.ceil(msBeforeNext / 1000)),
  });
}
