import type { EntityManager } from 'typeorm';
import { type Anchor, type ChainBreak, GENESIS } from '../chain-check.js';
import type { CheckpointPublicKey } from '../checkpoint.js';
import { HEAD_SEQ } from '../chain-tables.js';
import { openSummary, type SignedSummary } from './segment-summary.js';

/** What the trail of changes calls it when older entries are moved to a sealed segment. */
export const SEAL_ACTION = 'audit:seal';

/** The entry up to which the trail of changes is in sealed segments; 0: it is whole in the database. */
export const CUT_SEQ = '(SELECT coalesce(max(to_seq), 0) FROM audit_segment)';

/** A place of the chain. */
export type Place = Pick<Anchor, 'seq' | 'hash'>;

/** Before the first entry. */
export const BEGINNING: Place = { seq: '0', hash: GENESIS };

/** What the application keeps of a segment. */
export interface StoredSegment {
  readonly fromSeq: string;
  readonly toSeq: string;
  readonly previousHash: Buffer;
  readonly hash: Buffer;
  readonly summary: unknown;
}

/** What an entry of the trail says of the newest segment. */
export interface SealEntry {
  readonly seq: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Where the trail of changes begins in the database: behind this entry, on whose hash the next one builds. */
export async function findCut(manager: EntityManager): Promise<Place> {
  const [row] = await manager.query<Place[]>(
    'SELECT to_seq AS seq, hash FROM audit_segment ORDER BY to_seq DESC LIMIT 1',
  );
  return row ?? BEGINNING;
}

/** All segments that were sealed, oldest first. */
export function findSegments(manager: EntityManager): Promise<StoredSegment[]> {
  return manager.query(
    'SELECT from_seq AS "fromSeq", to_seq AS "toSeq", previous_hash AS "previousHash", hash, summary FROM audit_segment ORDER BY to_seq',
  );
}

/** The newest entry that tells of a segment; null: there is none. */
export async function findSealEntry(manager: EntityManager): Promise<SealEntry | null> {
  const [row] = await manager.query<SealEntry[]>(
    `SELECT seq, details FROM audit_event
      WHERE action = $1 AND actor_kind = 'system' AND seq <= ${HEAD_SEQ.audit_event}
      ORDER BY seq DESC LIMIT 1`,
    [SEAL_ACTION],
  );
  return row ?? null;
}

/** The summaries of stored segments, or what is wrong with them: each must be signed, and follow the one before. */
export function openSegments(
  keys: readonly CheckpointPublicKey[],
  stored: readonly StoredSegment[],
): SignedSummary[] | ChainBreak {
  const summaries: SignedSummary[] = [];
  for (const { fromSeq, toSeq, previousHash, hash, summary } of stored) {
    const opened = openSummary(keys, summary);
    const isOfRow =
      opened?.fromSeq === fromSeq &&
      opened.toSeq === toSeq &&
      opened.previousHash === previousHash.toString('hex') &&
      opened.hash === hash.toString('hex');
    if (opened === null || !isOfRow)
      return { seq: fromSeq, reason: 'What the database says of this sealed segment was not signed with AUDIT_KEY.' };
    summaries.push(opened);
  }
  return brokenOrder(summaries, null) ?? summaries;
}

/**
 * Where segments of one chain do not follow each other; null: they do.
 *
 * @param first the segment that the others follow; null: they begin with the first entry of the chain
 */
export function brokenOrder(summaries: readonly SignedSummary[], first: SignedSummary | null): ChainBreak | null {
  let [expected, hash] = [BigInt(first?.fromSeq ?? 1), first?.previousHash ?? GENESIS.toString('hex')];
  for (const { fromSeq, toSeq, previousHash, installation, ...summary } of summaries) {
    if (BigInt(fromSeq) > expected) return { seq: expected.toString(), reason: 'A sealed segment is missing here.' };
    if (BigInt(fromSeq) < expected) return { seq: fromSeq, reason: 'Two sealed segments have this entry.' };
    if (installation !== summaries[0]!.installation)
      return { seq: fromSeq, reason: 'This sealed segment is of another installation.' };
    if (previousHash !== hash)
      return { seq: fromSeq, reason: 'This sealed segment does not follow from the one before.' };
    expected = BigInt(toSeq) + 1n;
    ({ hash } = summary);
  }
  return null;
}
