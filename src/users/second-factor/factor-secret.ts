import { hkdfSync } from 'node:crypto';
import { missingVersion } from '../../common/missing-version.js';
import { openBytes, sealBytes } from '../../common/sealed-bytes.js';
import type { VersionedKey } from '../../config/versioned-secrets.js';

/** The secret of a second factor as its row keeps it. */
export interface SealedSecret {
  readonly sealedSecret: Buffer;
  /** The version of API_KEY_PEPPERS that opens it. */
  readonly pepperVersion: string;
}

/** Seals a secret under the pepper that signs, for one user: in the row of another user it does not open. */
export function sealSecret(peppers: readonly VersionedKey[], userId: string, secret: Buffer): SealedSecret {
  const { key, version } = peppers[0]!;
  return { sealedSecret: sealBytes(sealingKey(key, userId), Buffer.from(userId), secret), pepperVersion: version };
}

/**
 * The secret; null when the row was altered, or is of another user.
 *
 * @throws DomainError 503 when this process lacks the version of the pepper
 */
export function openSecret(
  peppers: readonly VersionedKey[],
  userId: string,
  { sealedSecret, pepperVersion }: SealedSecret,
): Buffer | null {
  const pepper = peppers.find(({ version }) => version === pepperVersion);
  if (pepper === undefined) throw missingVersion('API_KEY_PEPPERS', pepperVersion);
  return openBytes(sealingKey(pepper.key, userId), Buffer.from(userId), sealedSecret);
}

function sealingKey(pepper: Buffer, userId: string): Buffer {
  return Buffer.from(
    hkdfSync('sha256', pepper, Buffer.alloc(0), Buffer.from(`latchkey second factor v1\0${userId}`), 32),
  );
}
