import type { EntityManager } from 'typeorm';
import type { Anchor } from '../chain-check.js';
import { HEAD_SEQ } from '../chain-tables.js';
import { RESTORE_ACTION } from '../restores.js';

/** What the trail of changes calls it when old reads are removed. */
export const CUT_ACTION = 'audit:cut';

/** Where the chain of reads begins: behind this entry, whose hash the next one builds on. */
export interface ReadCut extends Pick<Anchor, 'seq' | 'hash'> {
  /** The sealed segment that ends with this entry; absent: the reads were removed without one. */
  readonly file?: string | undefined;
}

/** A forged entry may lack what a cut says. The check of the chain names it; it is no cut. */
const IS_CUT = `action = '${CUT_ACTION}' AND actor_kind = 'system'
   AND details->>'upToSeq' ~ '^[0-9]{1,18}$' AND details->>'hash' ~ '^[0-9a-f]{64}$'`;

const readCut = (lastSeq: string, also = ''): string => `
  SELECT details FROM audit_event WHERE ${IS_CUT} AND seq <= ${lastSeq} ${also}
   ORDER BY seq DESC LIMIT 1`;

/** The entry of the newest cut. */
export const READ_CUT = readCut(HEAD_SEQ.audit_event);

/** What `READ_CUT` gives. */
export interface ReadCutRow {
  readonly details: { readonly upToSeq: string; readonly hash: string; readonly file?: string };
}

/** What a cut says. */
export function readCutOf([row]: readonly ReadCutRow[]): ReadCut | null {
  if (!row) return null;
  const { upToSeq, hash, file } = row.details;
  return { seq: upToSeq, hash: Buffer.from(hash, 'hex'), ...(file === undefined ? {} : { file }) };
}

/**
 * The newest cut, of the entries up to `upTo` or up to the head; null: the chain begins with its first entry. The trail
 * of changes vouches for it.
 */
export async function findReadCut(manager: EntityManager, upTo: string | null = null): Promise<ReadCut | null> {
  const [sql, values] = upTo === null ? [READ_CUT, []] : [readCut('$1::bigint'), [upTo]];
  return readCutOf(await manager.query<ReadCutRow[]>(sql, values));
}

/** Every cut of which the database still tells, oldest first. */
export async function findReadCuts(manager: EntityManager): Promise<ReadCut[]> {
  const rows = await manager.query<ReadCutRow[]>(
    `SELECT details FROM audit_event WHERE ${IS_CUT} AND seq <= ${HEAD_SEQ.audit_event} ORDER BY seq`,
  );
  return rows.map((row) => readCutOf([row])!);
}

/** The newest segment of reads, as its cut tells of it. */
export interface ReadSegment {
  readonly upToSeq: string;
  readonly file: string;
  readonly sha256: string;
}

/** The newest segment that reads were moved to, also where later ones were removed without one; null: there is none. */
export async function findReadSegment(manager: EntityManager): Promise<ReadSegment | null> {
  const [row] = await manager.query<{ details: ReadSegment }[]>(
    readCut(HEAD_SEQ.audit_event, `AND details->>'file' IS NOT NULL`),
  );
  return row?.details ?? null;
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
    `SELECT details->'lostReads' AS lost FROM audit_event WHERE action = $1 AND actor_kind = 'system' AND seq <= ${HEAD_SEQ.audit_event} ORDER BY seq`,
    [RESTORE_ACTION],
  );
  return rows.flatMap(({ lost }) => (lost === null ? [] : [lost]));
}

/** Whether an anchor is of reads that were lost: the chain does not go through it, and need not. */
export function isOfLostReads({ seq, at }: Pick<Anchor, 'seq' | 'at'>, lost: readonly LostReads[]): boolean {
  return lost.some(({ afterSeq, until }) => BigInt(seq) > BigInt(afterSeq) && Date.parse(at) <= Date.parse(until));
}
