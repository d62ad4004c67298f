import { Injectable } from '@nestjs/common';
import { networksOf } from '../common/address-networks.js';
import { DomainError } from '../common/domain-error.js';
import type { Limit } from './sign-in-counters.js';
import { SignInExchange } from './sign-in-exchange.js';

/** Wrong passwords that browsers the account does not know may try on it, together. */
const PER_ACCOUNT = 20;
/** Failures of one address; wider networks have a multiple of it. An office behind one address is many people. */
const PER_ADDRESS = 100;
/** Wrong passwords in one browser that has signed in to the account before. */
const PER_DEVICE = 20;
/** Wrong passwords in all browsers that have signed in to the account before: an attacker may have collected some. */
const PER_ACCOUNT_KNOWN = 60;

/** A browser that tries a password. */
export interface TryingBrowser {
  /** What tells accounts apart, upper and lower case being the same; the account need not exist. */
  readonly account: string;
  readonly ip: string | null;
  /** By which the account knows this browser; null: it does not. */
  readonly deviceId: string | null;
}

/**
 * Slows guessing of passwords, over all replicas: counted per account, and per address and the networks around it.
 * After too many failures a browser that has signed in to the account before is let in all the same, and is counted by
 * itself: an attacker cannot lock the owner out there.
 *
 * @see docs/adr/0023-guessing-is-slowed-by-all-replicas.md
 */
@Injectable()
export class PasswordThrottle {
  constructor(private readonly exchange: SignInExchange) {}

  /**
   * Refuses, without a look into the database, what this replica knows to be over the limit. @throws DomainError 429
   */
  requireUnknownBrowserAllowed(browser: TryingBrowser): void {
    refuseFor(this.exchange.knownRefusal(this.limitsOfUnknown(browser)));
  }

  /**
   * Runs `matches` if there are tries left. A try is counted before it is made, so that many at the same time do not
   * slip through, and is not counted when it was right or could not be decided.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS
   */
  async guard(browser: TryingBrowser, matches: () => Promise<boolean>): Promise<boolean> {
    return this.counted(await this.admittedLimits(browser), matches);
  }

  /**
   * As `guard`, for a password that a signed-in person gives again: counted for this person alone, and apart from the
   * sign-ins, which others can make fail.
   */
  async guardSignedIn(userId: string, matches: () => Promise<boolean>): Promise<boolean> {
    const limits = [this.limit('signed in', userId, PER_ACCOUNT)];
    refuseFor(await this.exchange.refusal(limits));
    return this.counted(limits, matches);
  }

  /**
   * Runs a sign-in with the identity provider if the address has tries left. Wrong passwords do not count here. What
   * throws a refusal is counted; what worked, and what could not be decided, is not.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS
   */
  async guardAddress<T>(ip: string | null, signIn: () => Promise<T>): Promise<T> {
    const limits = this.limitsOfNetworks('identity provider', ip);
    refuseFor(await this.exchange.refusal(limits));
    const end = this.exchange.begin(limits);
    try {
      const result = await signIn();
      end(false);
      return result;
    } catch (error) {
      end(!isUndecided(error));
      throw error;
    }
  }

  /** A browser that used up its own tries is like any other. */
  private async admittedLimits(browser: TryingBrowser): Promise<readonly Limit[]> {
    const { account, deviceId } = browser;
    if (deviceId !== null) {
      const known = [
        this.limit('device', deviceId, PER_DEVICE),
        this.limit('known devices', normal(account), PER_ACCOUNT_KNOWN),
      ];
      if ((await this.exchange.refusal(known)) === null) return known;
    }
    const limits = this.limitsOfUnknown(browser);
    refuseFor(await this.exchange.refusal(limits));
    return limits;
  }

  private async counted(limits: readonly Limit[], matches: () => Promise<boolean>): Promise<boolean> {
    // Others may have begun while this one waited for the database.
    refuseFor(this.exchange.knownRefusal(limits));
    const end = this.exchange.begin(limits);
    try {
      const isRight = await matches();
      end(!isRight);
      return isRight;
    } catch (error) {
      end(isRefusal(error));
      throw error;
    }
  }

  private limitsOfUnknown({ account, ip }: TryingBrowser): readonly Limit[] {
    return [this.limit('account', normal(account), PER_ACCOUNT), ...this.limitsOfNetworks('network', ip)];
  }

  private limitsOfNetworks(kind: string, ip: string | null): readonly Limit[] {
    return networksOf(ip).map(({ network, share }) => this.limit(kind, network, PER_ADDRESS * share));
  }

  private limit(kind: string, value: string, failures: number): Limit {
    return { counter: this.exchange.counterOf(kind, value), failures };
  }
}

function normal(account: string): string {
  return account.trim().toLowerCase();
}

/**
 * A refused code counts like a wrong password. A missing one does not: who gives the right password and waits for the
 * code has guessed nothing, and an office behind one address would use up its tries.
 */
function isRefusal(error: unknown): boolean {
  return error instanceof DomainError && error.kind === 'unauthenticated' && error.code !== 'MFA_REQUIRED';
}

function isUndecided(error: unknown): boolean {
  return error instanceof DomainError && error.kind === 'unavailable';
}

/** @throws DomainError 429 */
function refuseFor(milliseconds: number | null): void {
  if (milliseconds === null) return;
  throw new DomainError(
    'throttled',
    'TOO_MANY_REQUESTS',
    'Too many failed attempts. Try again later. To sign in, you can use a browser in which you have signed in before.',
    { retryAfterSeconds: Math.max(1, Math.ceil(milliseconds / 1000)) },
  );
}
