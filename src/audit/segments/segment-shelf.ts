import { missingVersion } from '../../common/missing-version.js';
import { PLAIN_VERSION, type VersionedKey } from '../../config/versioned-secrets.js';
import { type CheckpointPublicKey, checkpointKey, checkpointPublicKeys } from '../checkpoint.js';
import type { Ask } from '../stretch.js';
import { type SegmentContent, type SignedSummary, signSummary } from './segment-summary.js';

/** Where segments go, whose they are, and what signs them. */
export interface SegmentShelf {
  readonly directory: string;
  readonly installation: string;
  readonly publicKeys: readonly CheckpointPublicKey[];
  readonly sign: (content: SegmentContent) => SignedSummary;
}

/**
 * The shelf of this installation: the version of AUDIT_KEY signs that signs the trail now.
 *
 * @throws DomainError 503 when that version is not configured
 */
export async function segmentShelf(
  ask: Ask,
  auditKeys: readonly VersionedKey[],
  directory: string,
): Promise<SegmentShelf> {
  const [row] = await ask<{ id: string; version: string; at: Date }>(
    'SELECT i.id, coalesce(h.audit_key_version, $1) AS version, clock_timestamp() AS at FROM installation i, change_head h',
    [PLAIN_VERSION],
  );
  if (row === undefined) throw new Error('The installation has no id yet: start a server on this database first.');
  const { id: installation, version, at } = row;
  const found = auditKeys.find((key) => key.version === version);
  if (found === undefined) throw missingVersion('AUDIT_KEY', version);
  const sign = (content: SegmentContent) => signSummary(checkpointKey(found.key), version, at.toISOString(), content);
  return { directory, installation, publicKeys: checkpointPublicKeys(auditKeys), sign };
}
