import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { VersionedKey } from '../config/versioned-secrets.js';

/** What binds a stored credential to its row, and the version of API_KEY_PEPPERS that made it. */
export interface Binding {
  readonly mac: Buffer;
  readonly version: string;
}

/** A password hash with what binds it to its user. */
export interface BoundPassword {
  readonly hash: string;
  readonly binding: Binding;
}

const INFO = 'latchkey credential binding 1';
const BINDING_BYTES = 32;

/** One derivation a pepper: it costs as much as ten bindings. */
const derived = new WeakMap<Buffer, Buffer>();

/** Binds the hash of a new password to its user, under the pepper that signs. */
export function bindPassword(peppers: readonly VersionedKey[], userId: string, hash: string): BoundPassword {
  const { key, version } = peppers[0]!;
  return { hash, binding: { mac: passwordBinding(key, userId, hash), version } };
}

/**
 * HMAC-SHA-256(HKDF(pepper), 'password' NUL user id NUL hash): who can write to the database cannot give a user a
 * password of their own making, nor that of another user.
 *
 * @param userId in lower case, as PostgreSQL prints it
 */
export function passwordBinding(pepper: Buffer, userId: string, hash: string): Buffer {
  return macOf(pepper, ['password', userId, hash]);
}

/** As {@link passwordBinding}, for a secret of another system: 'imported' NUL key id NUL kid NUL MAC of the secret. */
export function importedBinding(pepper: Buffer, keyId: string, kid: string, mac: Buffer): Buffer {
  return macOf(pepper, ['imported', keyId, kid, mac.toString('hex')]);
}

/** A binding as its columns have it; null where there is none. */
export function storedBinding(mac: Buffer | null, version: string | null): Binding | null {
  return mac === null || version === null ? null : { mac, version };
}

/** Whether two bindings are the same, in time that does not depend on where they differ. */
export function isSameBinding(stored: Buffer, computed: Buffer): boolean {
  return stored.length === computed.length && timingSafeEqual(stored, computed);
}

/** No part may contain a NUL, so no two lists of parts give the same input. */
function macOf(pepper: Buffer, parts: readonly string[]): Buffer {
  return createHmac('sha256', bindingKey(pepper)).update(parts.join('\0'), 'utf8').digest();
}

function bindingKey(pepper: Buffer): Buffer {
  const known = derived.get(pepper);
  if (known !== undefined) return known;
  const key = Buffer.from(hkdfSync('sha256', pepper, '', INFO, BINDING_BYTES));
  derived.set(pepper, key);
  return key;
}
