import { missingVersion } from '../common/missing-version.js';
import type { VersionedKey } from '../config/versioned-secrets.js';
import type { ChainBreak } from './chain-check.js';
import type { KeyChange } from './key-change.js';

/** A stretch of the chain that one version of AUDIT_KEY signed. */
export interface KeySegment {
  readonly version: string;
  readonly key: Buffer;
  /** What ends it; null for the last one. */
  readonly end: KeyChange | null;
}

/**
 * The segments of a chain, from its first entry on: one more than there are changes, which come in order of `seq`. What
 * the database says is not trusted here: changes are signed, and entries of another key do not fit their hashes.
 *
 * @throws DomainError 503 when a version is not configured: those entries cannot be checked
 */
export function segmentsOf(
  keys: readonly VersionedKey[],
  changes: readonly KeyChange[],
  headVersion: string,
): KeySegment[] | ChainBreak {
  const versions = [changes[0]?.from ?? headVersion, ...changes.map(({ to }) => to)];
  const torn = changes.find(({ from }, index) => from !== versions[index]);
  if (torn) return { seq: torn.seq, reason: 'This change of AUDIT_KEY does not follow from the one before.' };
  if (versions.at(-1) !== headVersion) {
    return {
      seq: changes.at(-1)!.seq,
      reason: 'The head of the trail names another version of AUDIT_KEY than its last change.',
    };
  }
  return versions.map((version, index) => ({ version, key: keyOf(keys, version), end: changes[index] ?? null }));
}

function keyOf(keys: readonly VersionedKey[], version: string): Buffer {
  const found = keys.find((key) => key.version === version);
  if (found === undefined) throw missingVersion('AUDIT_KEY', version);
  return found.key;
}
