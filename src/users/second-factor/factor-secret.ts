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

/** Which second factor a secret is of. */
export interface FactorName {
  readonly userId: string;
  /** Of the enrolment: each has another secret. */
  readonly id: string;
}

/**
 * Seals a secret under the pepper that signs, for one enrolment of one user: it does not open in the row of another
 * user, nor in place of a later secret of the same user.
 */
export function sealSecret(peppers: readonly VersionedKey[], factor: FactorName, secret: Buffer): SealedSecret {
  const { key, version } = peppers[0]!;
  return { sealedSecret: sealBytes(sealingKey(key, factor), boundTo(factor), secret), pepperVersion: version };
}

/**
 * The secret; null when the row was altered, or is of another user or another enrolment.
 *
 * @throws DomainError 503 when this process lacks the version of the pepper
 */
export function openSecret(
  peppers: readonly VersionedKey[],
  factor: FactorName,
  { sealedSecret, pepperVersion }: SealedSecret,
): Buffer | null {
  const pepper = peppers.find(({ version }) => version === pepperVersion);
  if (pepper === undefined) throw missingVersion('API_KEY_PEPPERS', pepperVersion);
  return openBytes(sealingKey(pepper.key, factor), boundTo(factor), sealedSecret);
}

function boundTo({ userId, id }: FactorName): Buffer {
  return Buffer.from(`${userId}\0${id}`);
}

function sealingKey(pepper: Buffer, { userId }: FactorName): Buffer {
  return Buffer.from(
    hkdfSync('sha256', pepper, Buffer.alloc(0), Buffer.from(`latchkey second factor v1\0${userId}`), 32),
  );
}
