import { Logger } from '@nestjs/common';
import type { Clock } from '../../common/clock.js';
import { unavailable } from '../../common/domain-error.js';
import { fetchJson } from './bounded-fetch.js';
import { ProviderDocument } from './provider-document.js';
import { type SigningKeys, readSigningKeys } from './signing-keys.js';

/** A set younger than this is not asked for again because of a key it contains. */
const FRESH_MS = 10 * 60_000;
/** While the provider is away its last set goes on for so long; a key it withdrew meanwhile counts that much longer. */
const STALE_MS = 24 * 60 * 60_000;

/** What an address of key sets answers, before anything of it is believed. */
export type KeySetFetcher = (uri: string) => Promise<readonly unknown[]>;

/**
 * The identity provider's signing keys (RFC 7517). A set counts for ten minutes, and for a day while the provider is
 * away; a key that is not in it makes us ask again, once in five seconds at most, so that callers with made-up key
 * ids cost the provider nothing and never keep a known key from being renewed.
 */
export class OidcKeys {
  private readonly logger = new Logger('IdentityProvider');
  private readonly set: ProviderDocument<SigningKeys>;
  private toldRefused = '';

  constructor(uri: string, clock: Clock, fetchKeys: KeySetFetcher = fetchKeySet) {
    this.set = new ProviderDocument(clock, async () => this.tell(readSigningKeys(await fetchKeys(uri))));
  }

  /**
   * The public key (PEM) of `kid`, if the provider has it for `algorithm`, else null.
   *
   * @throws DomainError 503 while the provider is away and the key is not known from before
   */
  async find(kid: string, algorithm: string): Promise<string | null> {
    if (this.set.within(FRESH_MS)?.keys.has(kid) !== true) await this.set.refresh();
    const key = this.set.within(STALE_MS)?.keys.get(kid);
    if (key !== undefined) return key.algorithms.includes(algorithm) ? key.pem : null;
    if (this.set.failure !== null)
      throw unavailable('The identity provider is not available, so this token cannot be checked.', this.set.failure);
    return null;
  }

  /** Tokens by these keys are refused like made-up ones: only here can an operator see why. */
  private tell(set: SigningKeys): SigningKeys {
    const refused = set.refused.join(' ');
    if (refused !== '' && refused !== this.toldRefused)
      this.logger.warn({ msg: 'Keys of the identity provider are not accepted.', cause: refused });
    this.toldRefused = refused;
    return set;
  }
}

/**
 * The keys of the set at `uri`, as the provider publishes them.
 *
 * @throws Error when there is no answer, a redirect, or no set
 */
export async function fetchKeySet(uri: string): Promise<readonly unknown[]> {
  const { status, body } = await fetchJson(uri);
  if (status < 200 || status > 299) throw new Error(`The key set's address answered ${status}.`);
  const keys = (body as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new Error('The key set has no keys.');
  return keys as unknown[];
}
