import { type KeyObject, createPublicKey } from 'node:crypto';

/** @see NIST SP 800-131A Rev. 2, 3; RFC 7518, 3.3 */
const MIN_RSA_BITS = 2048;
/** With a small exponent signatures can be forged if padding is checked carelessly. @see FIPS 186-5, A.1.1 */
const MIN_RSA_EXPONENT = 65_537n;
/** Each is parsed whenever the set is read. Large providers publish about a dozen. */
const MAX_KEYS = 200;

/** A public key of the identity provider. */
export interface SigningKey {
  readonly pem: string;
  /** What signatures by this key may be made with. */
  readonly algorithms: readonly string[];
}

/** What a key set has for us. */
export interface SigningKeys {
  /** By key id. */
  readonly keys: ReadonlyMap<string, SigningKey>;
  /** Keys for signatures that are not accepted: the key id and why, a sentence each. */
  readonly refused: readonly string[];
}

/**
 * The keys of a set that are public, meant for signatures, named, and strong enough. Keys of other kinds are left out.
 *
 * @throws Error when there are more than 200
 */
export function readSigningKeys(set: readonly unknown[]): SigningKeys {
  if (set.length > MAX_KEYS) throw new Error(`The key set has ${set.length} keys; at most ${MAX_KEYS} are read.`);
  const keys = new Map<string, SigningKey>();
  const refused: string[] = [];
  for (const entry of set) {
    const jwk = (typeof entry === 'object' && entry !== null ? entry : {}) as Readonly<Record<string, unknown>>;
    const key = publicKeyOf(jwk);
    if (key === null) continue;
    const weakness = weaknessOf(jwk, key);
    if (weakness !== null) refused.push(`The key ${JSON.stringify(jwk['kid'])} ${weakness}.`);
    else
      keys.set(String(jwk['kid']), {
        pem: String(key.export({ type: 'spki', format: 'pem' })),
        algorithms: algorithmsOf(jwk, key),
      });
  }
  return { keys, refused };
}

/** null: it is of a kind that no token here is signed with, which must not keep the others from being used. */
function publicKeyOf(jwk: Readonly<Record<string, unknown>>): KeyObject | null {
  const { kid, kty, use, key_ops: operations } = jwk;
  if (typeof kid !== 'string' || (kty !== 'RSA' && kty !== 'EC') || (use !== undefined && use !== 'sig')) return null;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return null;
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return null;
  }
}

function weaknessOf(jwk: Readonly<Record<string, unknown>>, key: KeyObject): string | null {
  if (jwk['d'] !== undefined) return 'is published with its private part';
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType !== 'rsa') return null;
  if ((modulusLength ?? 0) < MIN_RSA_BITS) return `has ${modulusLength} bits; RSA needs at least ${MIN_RSA_BITS}`;
  return (publicExponent ?? 0n) < MIN_RSA_EXPONENT
    ? `has the exponent ${publicExponent}; RSA needs at least ${MIN_RSA_EXPONENT}`
    : null;
}

/** Those of the key's type, or the one of them that the provider means it for. */
function algorithmsOf(
  { alg }: Readonly<Record<string, unknown>>,
  { asymmetricKeyType, asymmetricKeyDetails }: KeyObject,
): readonly string[] {
  const possible =
    asymmetricKeyType === 'rsa'
      ? ['RS256', 'PS256']
      : asymmetricKeyDetails?.namedCurve === 'prime256v1'
        ? ['ES256']
        : [];
  return alg === undefined ? possible : possible.filter((one) => one === alg);
}
