import { createHash } from 'node:crypto';

const SHA256_BYTES = 32;
const HEX = /^[0-9a-fA-F]+$/;
/** Either alphabet, padded or not. */
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;
/** What the hexadecimal length of an unsalted hash says of its algorithm. */
const OTHER_HASHES: ReadonlyMap<number, string> = new Map([
  [32, 'an MD5'],
  [40, 'a SHA-1'],
  [56, 'a SHA-224'],
  [96, 'a SHA-384'],
  [128, 'a SHA-512'],
]);
const SLOW_HASH = /^\$(2[abxy]?|argon2\w*|scrypt|s0|y|7|pbkdf2[\w-]*)\$/i;
/** Crypt's `$id$salt$hash`, LDAP's `{SSHA}…`, Django's `algorithm$rounds$salt$hash`, and `salt:hash`. */
const SALTED_HASH = /^\{S\w+\}|[$:]/i;
const EMPTY = createHash('sha256').digest();

const RIGHT =
  'must be the SHA-256 of the whole secret: 64 hexadecimal digits, or 43 or 44 characters of base64 or base64url';
const INSTEAD = 'issue a new key to this client instead';

/**
 * The SHA-256 that a text is, in hexadecimal, base64 or base64url; or what is wrong with it, to follow the field's
 * name.
 */
export function importedHash(text: string): Buffer | string {
  const bytes = bytesOf(text);
  if (bytes?.length === SHA256_BYTES)
    return bytes.equals(EMPTY) ? 'is the SHA-256 of nothing: was the secret empty?' : bytes;
  if (SLOW_HASH.test(text)) return `is a slow, salted hash such as bcrypt: no key can be found by one, so ${INSTEAD}`;
  const other = HEX.test(text) ? OTHER_HASHES.get(text.length) : undefined;
  if (other !== undefined) return `is ${other}, which is not known here; ${RIGHT}, or ${INSTEAD}`;
  if (SALTED_HASH.test(text)) return `is a salted hash: no key can be found by one, so ${INSTEAD}; ${RIGHT}`;
  return RIGHT;
}

function bytesOf(text: string): Buffer | null {
  if (text.length === 2 * SHA256_BYTES && HEX.test(text)) return Buffer.from(text, 'hex');
  if (!BASE64.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  // The last character has two bits to spare: another spelling of the same bytes is a typing error.
  return bytes.toString('base64url') === text.replace('=', '').replaceAll('+', '-').replaceAll('/', '_') ? bytes : null;
}
