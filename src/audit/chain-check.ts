import { isDeepStrictEqual } from 'node:util';
import { type AuditRecord, linkHash } from './chain.js';
import type { SignedKeyChange } from './key-change.js';
import type { KeySegment } from './key-segments.js';

/** A row of the trail as it lies in the database; texts, so that nothing is lost in translation. */
export interface StoredLink {
  readonly seq: string;
  readonly id: string;
  /** ISO 8601, UTC, microseconds. */
  readonly at: string;
  readonly actorKind: string;
  readonly actorId: string | null;
  readonly actorOwnerId: string | null;
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | null;
  readonly outcome: string;
  readonly ip: string | null;
  readonly requestId: string | null;
  /** JSON. */
  readonly changes: string;
  /** JSON. */
  readonly details: string;
  readonly body: string;
  readonly hash: Buffer;
}

/** Where a chain ends, by its head. */
export interface ChainEnd {
  readonly seq: string;
  readonly hash: Buffer;
  /** The highest `seq` of any row, seen at the same instant. */
  readonly maxSeq: string;
}

/** Where the chain of changes ends, by the change head. */
export interface ChainHead extends ChainEnd {
  /** The version of AUDIT_KEY that signs. */
  readonly auditKeyVersion: string;
  /** As they are stored, in order of `seq`. */
  readonly keyChanges: readonly SignedKeyChange[];
}

/** A place the chain is known to have passed through. */
export interface Anchor {
  readonly seq: string;
  readonly hash: Buffer;
  /** When it was signed, ISO 8601. */
  readonly at: string;
}

/** A signed checkpoint, by the versions of AUDIT_KEY that signed it. */
export interface SignedAnchor extends Anchor {
  readonly signedBy: readonly string[];
}

/** Where a chain stops being what was recorded. */
export interface ChainBreak {
  readonly seq: string;
  /** A sentence. */
  readonly reason: string;
}

/** `hash` of the row before the first. */
export const GENESIS: Buffer = Buffer.alloc(32);

/**
 * Checks a chain row by row, from its first row on. Together with `end` it finds every edited, deleted, inserted
 * or swapped row, a column that says something else than the hashed body, and a chain that was calculated
 * without the key. A tail that was cut off together with the head is found by an anchor behind the cut.
 *
 * Feed rows in order of `seq` until the first break; then stop.
 */
export class ChainCheck {
  /** Rows found sound. */
  checked = 0;
  private seq: bigint;
  private hash: Buffer;
  private readonly startsAfter: bigint;
  /** Not yet reached, next one last. */
  private readonly anchors: SignedAnchor[];
  private readonly segments: KeySegment[];

  /**
   * @param segments at least one, in order
   * @param start the entry that the first row builds on, where older ones were removed
   */
  constructor(
    segments: readonly KeySegment[],
    anchors: Iterable<SignedAnchor> = [],
    start: Pick<Anchor, 'seq' | 'hash'> = { seq: '0', hash: GENESIS },
  ) {
    this.segments = [...segments];
    this.seq = this.startsAfter = BigInt(start.seq);
    this.hash = start.hash;
    this.anchors = [...anchors].sort((a, b) => (BigInt(a.seq) > BigInt(b.seq) ? -1 : 1));
  }

  /** What is wrong with the next row; null if nothing is. */
  next(row: StoredLink): ChainBreak | null {
    const expected = this.seq + 1n;
    if (BigInt(row.seq) < expected)
      return { seq: row.seq, reason: `This entry should not exist: the trail begins with ${this.startsAfter + 1n}.` };
    if (BigInt(row.seq) > expected) return missing(expected);
    const reason = this.fault(row);
    if (reason !== null) return { seq: row.seq, reason };
    this.seq = expected;
    this.hash = row.hash;
    this.checked += 1;
    if (this.segment.end?.seq === row.seq) this.segments.shift();
    return null;
  }

  /** What is wrong with where the chain ends; null if nothing is. The head must be younger than the anchors. */
  end(head: ChainEnd): ChainBreak | null {
    if (BigInt(head.maxSeq) > BigInt(head.seq)) {
      return { seq: (BigInt(head.seq) + 1n).toString(), reason: 'There are entries behind the head of the trail.' };
    }
    if (this.seq < BigInt(head.seq)) return missing(this.seq + 1n);
    if (!this.hash.equals(head.hash))
      return { seq: head.seq, reason: 'The head of the trail is not the hash of its last entry.' };
    const cut = this.anchors.at(-1);
    if (!cut) return null;
    return {
      seq: (this.seq + 1n).toString(),
      reason: `The trail was cut off: a checkpoint of ${cut.at} has seen entry ${cut.seq}.`,
    };
  }

  /** What signed the next row. */
  protected keyOf(): Buffer {
    return this.segment.key;
  }

  private get segment(): KeySegment {
    return this.segments[0]!;
  }

  private fault(row: StoredLink): string | null {
    if (!linkHash(this.keyOf(), this.hash, row.body).equals(row.hash)) {
      return 'The hash does not follow from the entry before and the body: one of them was changed, or hashed with another key.';
    }
    while (this.anchors.at(-1)?.seq === row.seq) {
      const anchor = this.anchors.pop()!;
      if (!anchor.hash.equals(row.hash)) return `The hash is not the one that a checkpoint of ${anchor.at} has seen.`;
      const other = anchor.signedBy.find((version) => !this.maySign(version, row.seq));
      if (other !== undefined) {
        return `A checkpoint of ${anchor.at} was signed with version ${other} of AUDIT_KEY, which did not sign this part of the trail.`;
      }
    }
    const column = differingColumn(row);
    return column === null ? null : `The column ${column} says something else than the body that was hashed.`;
  }

  /** Where a segment ends, the next key has signed as well. */
  protected maySign(version: string, seq: string): boolean {
    const { version: own, end } = this.segment;
    return version === own || (end?.seq === seq && version === end.to);
  }
}

function missing(seq: bigint): ChainBreak {
  return { seq: seq.toString(), reason: 'This entry is missing.' };
}

/** The first column of a row that does not repeat its body; null: all do. The body must be one that was hashed. */
export function differingColumn(row: StoredLink): string | null {
  const body = JSON.parse(row.body) as AuditRecord;
  const pairs: [string, unknown, unknown][] = [
    ['seq', row.seq, body.seq],
    ['id', row.id, body.id],
    ['at', row.at, body.at.replace('Z', '000Z')],
    ['actor_kind', row.actorKind, body.actor.kind],
    ['actor_id', row.actorId, body.actor.id],
    ['actor_owner_id', row.actorOwnerId, body.actor.ownerId],
    ['action', row.action, body.action],
    ['resource_type', row.resourceType, body.resourceType],
    ['resource_id', row.resourceId, body.resourceId],
    ['outcome', row.outcome, body.outcome],
    ['ip', row.ip, body.ip],
    ['request_id', row.requestId, body.requestId],
  ];
  const differing = pairs.find(([, column, said]) => column !== said);
  if (differing) return differing[0];
  if (!saysTheSame(row.changes, body.changes)) return 'changes';
  return saysTheSame(row.details, body.details) ? null : 'details';
}

function saysTheSame(column: string, said: unknown): boolean {
  return isDeepStrictEqual(JSON.parse(column), said) && hasPlainNumbers(column);
}

/**
 * Whether every number in a `jsonb` column is written as we write it. PostgreSQL keeps digits that JavaScript
 * would round away (5.00000000000000000001), so equal after parsing is not yet equal.
 */
function hasPlainNumbers(json: string): boolean {
  for (const [token, number] of json.matchAll(/"(?:[^"\\]|\\.)*"|(-?\d[\d.]*)/g)) {
    if (number === undefined || /e/i.test(String(Number(number)))) continue;
    if (String(Number(number)) !== token) return false;
  }
  return true;
}
