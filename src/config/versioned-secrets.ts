import { createHash } from 'node:crypto';

/** A key with the version its rows name. The first of a list signs, all of them verify. */
export interface VersionedKey {
  readonly version: string;
  readonly key: Buffer;
  /** Random bytes that the secret can hold at most. @see decodedBytes */
  readonly strengthBytes: number;
}

/** One entry of a variable that holds secrets. */
export interface VersionedSecret {
  readonly version: string;
  readonly secret: string;
}

/** The version of a secret that is given without one. */
export const PLAIN_VERSION = '1';

/** What a new secret must be able to hold. */
export const MIN_SECRET_BYTES = 32;

const MIN_CHARACTERS = 32;
const VERSION_PREFIX = /^[A-Za-z0-9]{1,16}:/;
const ENTRY = new RegExp(`^([A-Za-z0-9]{1,16}):(.{${MIN_CHARACTERS},})$`);

/** Whether a value is one secret without a version. Such a value may contain commas and colons. */
export function isPlainSecret(text: string): boolean {
  return !text.split(',').some((entry) => VERSION_PREFIX.test(entry.trim()));
}

/**
 * The entries of `version:secret,version:secret`, or the one of a plain value, whose version is `1`; null for
 * anything else, and for secrets under 32 characters.
 */
export function parseVersionedSecrets(text: string): VersionedSecret[] | null {
  if (isPlainSecret(text)) return text.length < MIN_CHARACTERS ? null : [{ version: PLAIN_VERSION, secret: text }];
  const entries = text.split(',').map((entry) => ENTRY.exec(entry.trim()));
  if (entries.some((entry) => entry === null)) return null;
  return entries.map((entry) => ({ version: entry![1]!, secret: entry![2]! }));
}

/** Any text of 32 or more characters becomes a 256-bit key, so no encoding can be got wrong. */
export function hashedKey({ version, secret }: VersionedSecret): VersionedKey {
  return { version, key: createHash('sha256').update(secret, 'utf8').digest(), strengthBytes: decodedBytes(secret) };
}

/** The text itself as a key, as tokens of other libraries are signed with it. */
export function textKey({ version, secret }: VersionedSecret): VersionedKey {
  return { version, key: Buffer.from(secret, 'utf8'), strengthBytes: decodedBytes(secret) };
}

/**
 * How many bytes a secret holds: half its length if all of it is hexadecimal, three quarters if it is base64 or
 * base64url, else its bytes as UTF-8.
 */
export function decodedBytes(secret: string): number {
  if (/^[0-9a-fA-F]+$/.test(secret)) return Math.floor(secret.length / 2);
  const base64 = /^([A-Za-z0-9+/_-]+)={0,2}$/.exec(secret);
  return base64 === null ? Buffer.byteLength(secret, 'utf8') : Math.floor((base64[1]!.length * 3) / 4);
}

/** Whether two texts hold one secret: the same characters, or the same bytes in hexadecimal, base64 or base64url. */
export function sameSecret(one: string, other: string): boolean {
  return one === other || bytesOf(one).equals(bytesOf(other));
}

function bytesOf(secret: string): Buffer {
  if (/^([0-9a-fA-F]{2}){16,}$/.test(secret)) return Buffer.from(secret, 'hex');
  // Node reads both alphabets. A text that is not all base64 stands for itself.
  return /^[A-Za-z0-9+/_-]{22,}={0,2}$/.test(secret) ? Buffer.from(secret, 'base64') : Buffer.from(secret, 'utf8');
}
