import type { EntityManager } from 'typeorm';
import type { Anchor } from '../chain-check.js';
import { RESTORE_ACTION } from '../restores.js';

/** What the trail of changes calls it when old reads are removed. */
export const CUT_ACTION = 'audit:cut';

/** Where the chain of reads begins: behind this entry, whose hash the next one builds on. */
export type ReadCut = Pick<Anchor, 'seq' | 'hash'>;

/**
 * The newest cut, of the entries up to `upTo` or of all; null: the chain begins with its first entry. The trail of changes
 * vouches for it.
 */
export async function findReadCut(manager: EntityManager, upTo: string | null = null): Promise<ReadCut | null> {
  const [row] = await manager.query<{ details: { upToSeq: string; hash: string } }[]>(
    `SELECT details FROM audit_event WHERE action = '${CUT_ACTION}' AND actor_kind = 'system' AND ($1::bigint IS NULL OR seq <= $1)
      ORDER BY seq DESC LIMIT 1`,
    [upTo],
  );
  return row ? { seq: row.details.upToSeq, hash: Buffer.from(row.details.hash, 'hex') } : null;
}

/** Reads that a restore or a failover has lost: those behind `afterSeq` that were seen until then. */
export interface LostReads {
  readonly afterSeq: string;
  /** ISO 8601. */
  readonly until: string;
}

/** What restores have told of lost reads, oldest first. */
export async function findLostReads(manager: EntityManager): Promise<LostReads[]> {
  const rows = await manager.query<{ lost: LostReads | null }[]>(
    `SELECT details->'lostReads' AS lost FROM audit_event WHERE action = $1 AND actor_kind = 'system' ORDER BY seq`,
    [RESTORE_ACTION],
  );
  return rows.flatMap(({ lost }) => (lost === null ? [] : [lost]));
}

/** Whether an anchor is of reads that were lost: the chain does not go through it, and need not. */
export function isOfLostReads({ seq, at }: Pick<Anchor, 'seq' | 'at'>, lost: readonly LostReads[]): boolean {
  return lost.some(({ afterSeq, until }) => BigInt(seq) > BigInt(afterSeq) && Date.parse(at) <= Date.parse(until));
}
