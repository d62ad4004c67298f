import { scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { SecretName } from '../config/generated-secrets.js';
import type { VersionedKey } from '../config/versioned-secrets.js';

const FINGERPRINT_BYTES = 8;

/** What a secret is recognised by. It gives nothing away of a secret that was drawn at random. */
export interface Fingerprint {
  readonly variable: SecretName;
  readonly version: string;
  readonly fingerprint: Buffer;
}

/**
 * 64 bits of scrypt(key, installation ‖ variable ‖ version), with the parameters of RFC 7914 for interactive use (16
 * MiB, some 50 ms). The same secret has another fingerprint in each place, so that two rows cannot be compared.
 */
export async function fingerprintOf(
  installationId: string,
  variable: SecretName,
  { version, key }: VersionedKey,
): Promise<Fingerprint> {
  const salt = [installationId, variable, version].join('\0');
  const fingerprint = (await promisify(scrypt)(key, salt, FINGERPRINT_BYTES)) as Buffer;
  return { variable, version, fingerprint };
}
