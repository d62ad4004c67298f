import { createPublicKey } from 'node:crypto';
import type { Clock } from '../../common/clock.js';
import { unavailable } from '../../common/domain-error.js';
import { fetchJson } from './bounded-fetch.js';
import { ProviderDocument } from './provider-document.js';

/** A set younger than this is not asked for again because of a key it contains. */
const FRESH_MS = 10 * 60_000;
/** While the provider is away its last set goes on for so long; a key it withdrew meanwhile counts that much longer. */
const STALE_MS = 24 * 60 * 60_000;

interface SigningKey {
  readonly pem: string;
  /** The one algorithm the provider means it for, if it says so. */
  readonly algorithm: string | null;
}

/** What an address of key sets answers, before anything of it is believed. */
export type KeySetFetcher = (uri: string) => Promise<readonly unknown[]>;

/**
 * The identity provider's signing keys (RFC 7517). A set counts for ten minutes, and for a day while the provider is away;
 * a key that is not in it makes us ask again, once in five seconds at most, so that strangers with made-up key ids cost
 * the provider nothing and never keep a known key from being renewed.
 */
export class OidcKeys {
  private readonly set: ProviderDocument<ReadonlyMap<string, SigningKey>>;

  constructor(uri: string, clock: Clock, fetchKeys: KeySetFetcher = fetchKeySet) {
    this.set = new ProviderDocument(clock, async () => signingKeysOf(await fetchKeys(uri)));
  }

  /**
   * The public key (PEM) of `kid`, if the provider has it for `algorithm`, else null.
   *
   * @throws DomainError 503 while the provider is away and the key is not known from before
   */
  async find(kid: string, algorithm: string): Promise<string | null> {
    if (this.set.within(FRESH_MS)?.has(kid) !== true) await this.set.refresh();
    const key = this.set.within(STALE_MS)?.get(kid);
    if (key !== undefined) return key.algorithm === null || key.algorithm === algorithm ? key.pem : null;
    if (this.set.failure !== null) throw unavailable('The identity provider is not available, so this token cannot be checked.', this.set.failure);
    return null;
  }
}

/** The keys of a set that are public, meant for signatures and named; what cannot be read is left out. */
function signingKeysOf(set: readonly unknown[]): Map<string, SigningKey> {
  const keys = new Map<string, SigningKey>();
  for (const entry of set) {
    const jwk = (typeof entry === 'object' && entry !== null ? entry : {}) as Readonly<Record<string, unknown>>;
    const { kid, kty, use, alg } = jwk;
    if (typeof kid !== 'string' || (kty !== 'RSA' && kty !== 'EC') || (use !== undefined && use !== 'sig')) continue;
    try {
      const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
      keys.set(kid, { pem: String(pem), algorithm: typeof alg === 'string' ? alg : null });
    } catch {
      // One key of a kind we do not know must not keep the others from being used.
    }
  }
  return keys;
}

async function fetchKeySet(uri: string): Promise<readonly unknown[]> {
  const { status, body } = await fetchJson(uri);
  if (status < 200 || status > 299) throw new Error(`The key set's address answered ${status}.`);
  const keys = (body as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new Error('The key set has no keys.');
  return keys as unknown[];
}
