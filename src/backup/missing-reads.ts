import type { EntityManager } from 'typeorm';
import type { CheckpointPublicKey } from '../audit/checkpoint.js';
import { findLostReads, findReadCut, isOfLostReads, type LostReads } from '../audit/reads/read-cuts.js';
import { readReadCheckpoints } from '../audit/reads/read-checkpoint.js';

/**
 * Holds checkpoints of reads in files against the chain of reads; null: the database has all reads that the files know
 * of. It tells from where on they are missing: a checker of the trail takes checkpoints of that part for what they are.
 *
 * @throws Error when a file cannot be read
 */
export async function findMissingReads(
  manager: EntityManager,
  files: readonly string[],
  keys: readonly CheckpointPublicKey[],
): Promise<LostReads | null> {
  const anchors = (await Promise.all(files.map((file) => readReadCheckpoints(file, keys)))).flatMap((file) => [
    ...file.anchors,
  ]);
  const cut = BigInt((await findReadCut(manager))?.seq ?? 0);
  // What an earlier restore has given up is missing for ever, and is no reason to give up what came after it.
  const lost = await findLostReads(manager);
  const open = anchors.filter((anchor) => BigInt(anchor.seq) > cut && !isOfLostReads(anchor, lost));
  const rows = await manager.query<{ seq: string; at: Date }[]>(
    `SELECT k.seq, clock_timestamp() AS at FROM unnest($1::bigint[], $2::bytea[]) AS k (seq, hash)
       LEFT JOIN audit_read r ON r.seq = k.seq WHERE r.hash IS DISTINCT FROM k.hash ORDER BY k.seq LIMIT 1`,
    [open.map(({ seq }) => seq), open.map(({ hash }) => hash)],
  );
  const [first] = rows;
  return first ? { afterSeq: (BigInt(first.seq) - 1n).toString(), until: first.at.toISOString() } : null;
}
