import { createHmac, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * One of several secrets of the same use, so that it can be replaced while the old one still verifies. In a list the
 * first one signs and all of them verify.
 */
export interface VersionedSecret {
  readonly version: number | string;
  readonly key: Buffer;
}

/** `live` or `test`: the second part of every secret. */
export type SecretEnvironment = 'live' | 'test';

/**
 * A text that no log, template, JSON document or debugger output shows: all of them get `[secret]`.
 * Only {@link Secret.reveal} gives it away, so that every place that does is found by its name.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself: for the one answer that shows it, and for digests. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

/** What a secret is made of. The kid and the key prefix are public, the body is what has to be kept. */
export interface SecretParts {
  readonly environment: SecretEnvironment;
  /** 14 base62 characters: names the secret, unique among all. */
  readonly kid: string;
  /** 43 base62 characters: 256 bits. */
  readonly body: Secret;
  /** `<prefix>_<environment>_<kid>`: the public start of the secret, safe to show and log. */
  readonly keyPrefix: string;
}

/**
 * A presented text that has the shape of a secret; nothing about it is proven. The environment is bound neither by the
 * tag nor by the MAC: code that finds the record by `kid` must compare it with the record's own.
 */
export interface ParsedSecret extends SecretParts {
  /** 6 base62 characters. */
  readonly tag: string;
}

/** A new secret; `secret` is the whole string for its owner, of which nothing but the kid and a MAC is stored. */
export interface MintedSecret extends SecretParts {
  readonly secret: Secret;
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const KID_CHARACTERS = 14;
const BODY_CHARACTERS = 43;
const TAG_CHARACTERS = 6;
const TAIL_CHARACTERS = KID_CHARACTERS + BODY_CHARACTERS + TAG_CHARACTERS;
const KID_RANDOM_BYTES = 16;
const BODY_RANDOM_BYTES = 32;
const SHA256_BYTES = 32;

const PREFIX_SHAPE = /^[a-z][a-z0-9]{0,15}$/;
const TAIL_SHAPE = /^[0-9A-Za-z]{63}$/;

/** Whether `text` may stand in front of every secret of a deployment: 1 to 16 of `a-z0-9`, a letter first. */
export function isSecretPrefix(text: string): boolean {
  return PREFIX_SHAPE.test(text);
}

/** Characters of every secret of this prefix. */
export function secretLength(prefix: string): number {
  return prefix.length + '_live_'.length + TAIL_CHARACTERS;
}

/**
 * Makes a secret. It takes 48 bytes from `randomBytes` in one call: 16 for the kid (modulo 62^14, a bias below 2^-44)
 * and 32 for the body, which as a number below 2^256 always fits 43 base62 digits (62^43 > 2^256).
 *
 * @throws {RangeError} for a prefix that is none, an empty list of tag keys, or a source that gives too few bytes.
 */
export function mint(options: {
  readonly prefix: string;
  readonly environment: SecretEnvironment;
  readonly tagKeys: readonly VersionedSecret[];
  readonly randomBytes: (size: number) => Buffer;
}): MintedSecret {
  const { prefix, environment, tagKeys, randomBytes } = options;
  requirePrefix(prefix);
  const random = randomBytes(KID_RANDOM_BYTES + BODY_RANDOM_BYTES);
  if (random.length !== KID_RANDOM_BYTES + BODY_RANDOM_BYTES) throw new RangeError('not enough random bytes');
  const kid = base62(random.subarray(0, KID_RANDOM_BYTES), KID_CHARACTERS);
  const body = base62(random.subarray(KID_RANDOM_BYTES), BODY_CHARACTERS);
  const tag = tagOf(signing(tagKeys).key, kid, body);
  const keyPrefix = `${prefix}_${environment}_${kid}`;
  return { environment, kid, keyPrefix, body: new Secret(body), secret: new Secret(`${keyPrefix}${body}${tag}`) };
}

/**
 * Takes a presented text apart, or gives null if it does not have the shape; costs neither a digest nor I/O.
 * A body of 2^256 or more (about one in fifty of all 43-digit texts) passes here although none is ever minted: the body
 * is compared as text and never decoded, so that this shape stays exactly the published {@link secretPattern}, and the
 * tag refuses it.
 */
export function parse(presented: string, prefix: string): ParsedSecret | null {
  if (presented.length !== secretLength(prefix)) return null;
  const environment = environmentOf(presented, prefix);
  if (environment === null) return null;
  const tail = presented.slice(-TAIL_CHARACTERS);
  if (!TAIL_SHAPE.test(tail)) return null;
  const kid = tail.slice(0, KID_CHARACTERS);
  return {
    environment,
    kid,
    body: new Secret(tail.slice(KID_CHARACTERS, KID_CHARACTERS + BODY_CHARACTERS)),
    tag: tail.slice(-TAG_CHARACTERS),
    keyPrefix: `${prefix}_${environment}_${kid}`,
  };
}

/**
 * Whether one of the tag keys made the tag, so that guesses are refused without I/O. It proves nothing more: only the
 * MAC does. Compares with every key, in time that does not depend on where the tags differ.
 */
export function tagMatches(parsed: ParsedSecret, tagKeys: readonly VersionedSecret[]): boolean {
  const presented = Buffer.from(parsed.tag, 'latin1');
  const body = parsed.body.reveal();
  let matches = false;
  for (const { key } of tagKeys) {
    if (equal(Buffer.from(tagOf(key, parsed.kid, body), 'latin1'), presented)) matches = true;
  }
  return matches;
}

/**
 * What is stored of a secret: HMAC-SHA-256(pepper, 'v1' NUL key id NUL kid NUL body), 32 bytes. It never
 * authenticates by itself. The key's id is part of it, so that a writer to the database cannot hand a known secret
 * another key by moving its row. No part may contain a NUL, so no two triples give the same input.
 *
 * @param keyId the key's UUID in lower case, as PostgreSQL prints it.
 */
export function macOf(pepper: Buffer, keyId: string, { kid, body }: Pick<SecretParts, 'kid' | 'body'>): Buffer {
  return createHmac('sha256', pepper).update(`v1\0${keyId}\0${kid}\0${body.reveal()}`).digest();
}

/**
 * What is stored of another system's key: HMAC-SHA-256(pepper, 'v1-imported' NUL sha256), 32 bytes. It is what an
 * imported key is found by, so it cannot contain the key's id. No MAC of our own secrets starts like it.
 *
 * @param sha256 the SHA-256 of the whole string that the client presents.
 * @throws {RangeError} if that is not 32 bytes.
 */
export function importedMacOf(pepper: Buffer, sha256: Buffer): Buffer {
  if (sha256.length !== SHA256_BYTES) throw new RangeError('a SHA-256 has 32 bytes');
  return createHmac('sha256', pepper).update('v1-imported\0').update(sha256).digest();
}

/** Whether a stored MAC is the computed one, in time that does not depend on where they differ. */
export function macMatches(stored: Buffer, computed: Buffer): boolean {
  return equal(stored, computed);
}

/** The secret that signs: the first. @throws {RangeError} if there is none. */
export function signing(secrets: readonly VersionedSecret[]): VersionedSecret {
  const [first] = secrets;
  if (first === undefined) throw new RangeError('at least one secret is needed to sign');
  return first;
}

/** The secret of a version, or null if it is no longer configured. `1` and `'1'` name the same version. */
export function findVersion(secrets: readonly VersionedSecret[], version: number | string): VersionedSecret | null {
  return secrets.find((secret) => String(secret.version) === String(version)) ?? null;
}

/**
 * The published expression for secret scanners. It is not anchored, neither to word boundaries nor to lines: a scanner
 * should rather report a string too much than miss a secret glued to other text. Plain enough for RE2 and Hyperscan.
 *
 * @throws {RangeError} for a prefix that is none.
 */
export function secretPattern(prefix: string): RegExp {
  requirePrefix(prefix);
  return new RegExp(`${prefix}_(?:live|test)_[0-9A-Za-z]{${TAIL_CHARACTERS}}`);
}

/**
 * The tag: the first 64 bits of HMAC-SHA-256(tag key, kid ‖ body), big-endian, modulo 62^6, as 6 base62 digits
 * (about 35.7 bits; bias below 2^-28). Kid and body have fixed lengths, so their concatenation is unambiguous.
 */
function tagOf(tagKey: Buffer, kid: string, body: string): string {
  return base62(createHmac('sha256', tagKey).update(kid).update(body).digest().subarray(0, 8), TAG_CHARACTERS);
}

/** The lowest `length` base62 digits of a big-endian number, zeros in front, most significant first. */
function base62(bytes: Buffer, length: number): string {
  let rest = BigInt(`0x${bytes.toString('hex')}`);
  let digits = '';
  for (let position = 0; position < length; position += 1) {
    digits = BASE62.charAt(Number(rest % 62n)) + digits;
    rest /= 62n;
  }
  return digits;
}

function environmentOf(presented: string, prefix: string): SecretEnvironment | null {
  if (presented.startsWith(`${prefix}_live_`)) return 'live';
  if (presented.startsWith(`${prefix}_test_`)) return 'test';
  return null;
}

function equal(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

function requirePrefix(prefix: string): void {
  if (!isSecretPrefix(prefix)) throw new RangeError('a secret prefix is 1 to 16 of a-z0-9 and starts with a letter');
}
