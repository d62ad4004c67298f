import type { EntityManager } from 'typeorm';
import type { ChainBreak } from '../chain-check.js';
import { findReadSegment } from '../reads/read-cuts.js';
import { findSegments } from './sealed-cut.js';
import { isOutdated } from './segment-age.js';
import { isSameContent, type SegmentContent, type SignedSummary } from './segment-summary.js';

type Chain = SegmentContent['chain'];

/** Whether segments are those of which a database knows, and what there is to know besides. */
export interface Joined {
  readonly broken: (ChainBreak & { readonly chain: Chain }) | null;
  readonly notes: readonly string[];
}

/**
 * Holds the segments of a directory against the database: each that it knows must be there, and be the same. Older ones
 * than `keepMonths` may be gone, but not the newest.
 */
export async function joinWithDatabase(
  manager: EntityManager,
  found: Readonly<Record<Chain, readonly SignedSummary[]>>,
  keepMonths: number | null,
): Promise<Joined> {
  const stored = await findSegments(manager);
  const deleted: string[] = [];
  for (const { fromSeq, toSeq, summary } of stored) {
    const segment = found.changes.find((one) => one.fromSeq === fromSeq);
    const isNewest = toSeq === stored.at(-1)!.toSeq;
    if (segment === undefined && !isNewest && isOutdated(keepMonths, summary as SignedSummary, new Date()))
      deleted.push(toSeq);
    else if (segment === undefined)
      return broken(fromSeq, 'changes', `The sealed segment with the entries ${fromSeq} to ${toSeq} is missing.`);
    else if (!isSameContent(segment, summary as SignedSummary))
      return broken(fromSeq, 'changes', `${segment.file} is not the segment of which the database knows.`);
  }
  const reads = await findReadSegment(manager);
  if (reads !== null && !found.reads.some(({ toSeq, sha256 }) => toSeq === reads.upToSeq && sha256 === reads.sha256))
    return broken(reads.upToSeq, 'reads', `The sealed segment ${reads.file} is missing, or another one.`);
  const behind = found.changes.filter(({ toSeq }) => BigInt(toSeq) > BigInt(stored.at(-1)?.toSeq ?? 0));
  return {
    broken: null,
    notes: [
      ...(deleted.length === 0 ? [] : [`Segments of entries up to ${deleted.at(-1)} are deleted: ${KEPT}.`]),
      ...(behind.length === 0
        ? []
        : [`Segments that were sealed before a restore, and will be used again: ${behind.length}.`]),
    ],
  };
}

const KEPT = 'they are older than AUDIT_SEGMENTS_KEEP_MONTHS';

function broken(seq: string, chain: Chain, reason: string): Joined {
  return { broken: { seq, reason, chain }, notes: [] };
}
