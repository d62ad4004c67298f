import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { missingVersion } from '../../common/missing-version.js';
import { PLAIN_VERSION, type VersionedKey } from '../../config/versioned-secrets.js';
import { type CheckpointPublicKey, checkpointKey, checkpointPublicKeys } from '../checkpoint.js';
import type { Ask } from '../stretch.js';
import { type SegmentContent, type SignedSummary, signSummary, summaryName } from './segment-summary.js';

/** Where segments go, whose they are, and what signs them. */
export interface SegmentShelf {
  readonly directory: string;
  readonly installation: string;
  readonly publicKeys: readonly CheckpointPublicKey[];
  readonly sign: (content: SegmentContent) => SignedSummary;
}

/**
 * Requires the newest segment to be in the directory: otherwise it is not the one that all replicas share, and what is
 * sealed into it is lost with this replica.
 *
 * @throws Error with a sentence that says what to do
 */
export async function requireThere(directory: string, { file }: Pick<SegmentContent, 'file'>): Promise<void> {
  for (const name of [file, summaryName(file)]) {
    const found = await stat(join(directory, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (found === null)
      throw new Error(
        `${name}, of the newest sealed segment, is not in ${directory}: mount the directory there that all replicas share, or copy the segments to it.`,
      );
  }
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
