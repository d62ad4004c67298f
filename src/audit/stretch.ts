import { setImmediate as nextTurn } from 'node:timers/promises';
import { missingVersion } from '../common/missing-version.js';
import type { VersionedKey } from '../config/versioned-secrets.js';
import type { Anchor, ChainBreak, ChainCheck, StoredLink } from './chain-check.js';
import { type ChainTable, linksOf } from './chain-tables.js';
import type { CheckpointPublicKey } from './checkpoint.js';
import { isSignedWith, openKeyChange, type SignedKeyChange } from './key-change.js';
import { type KeySegment, segmentsOf } from './key-segments.js';

const ROWS_PER_QUERY = 1_000n;
/** Some 5 ms of work, between which requests get their turn. */
const ROWS_PER_TURN = 200;

/** Runs one statement and gives its rows. */
export type Ask = <T>(text: string, values: unknown[]) => Promise<T[]>;

/** An entry and its hash. */
export type Place = Pick<Anchor, 'seq' | 'hash'>;

/** Up to where a chain is sound, and what is wrong behind that place. */
export interface Stretch {
  readonly place: Place;
  readonly broken: ChainBreak | null;
}

/**
 * Checks the entries of a chain behind `start` up to `end`, a thousand at a time. It begins no further thousand after
 * `maxMs`; then the place is where it stopped.
 *
 * @param check begins at `start`
 */
export async function checkStretch(
  ask: Ask,
  check: ChainCheck,
  table: ChainTable,
  start: Place,
  end: Place,
  maxMs: number,
): Promise<Stretch> {
  const untilMs = performance.now() + maxMs;
  const last = BigInt(end.seq);
  let place = start;
  for (let from = BigInt(start.seq) + 1n; from <= last; from += ROWS_PER_QUERY) {
    if (place !== start && performance.now() > untilMs) return { place, broken: null };
    const upTo = last < from + ROWS_PER_QUERY ? last : from + ROWS_PER_QUERY - 1n;
    const rows = await ask<StoredLink>(linksOf(table), [from.toString(), upTo.toString(), Number(ROWS_PER_QUERY)]);
    for (const [index, row] of rows.entries()) {
      const broken = check.next(row);
      if (broken !== null) return { place, broken };
      place = { seq: row.seq, hash: row.hash };
      if (index % ROWS_PER_TURN === ROWS_PER_TURN - 1) await nextTurn();
    }
    if (BigInt(rows.length) < upTo - from + 1n) break;
  }
  return { place, broken: check.end({ ...end, maxSeq: end.seq }) };
}

/** What signed the entries behind a place. */
export interface SegmentsBehind {
  /** `place`, or where the last version ended that is not configured here: what it signed cannot be checked. */
  readonly start: Place;
  readonly segments: readonly KeySegment[];
}

/**
 * The segments of the chain behind `place`, by the changes of AUDIT_KEY behind it, in order.
 *
 * @throws DomainError 503 when the version that signs is not configured
 */
export function segmentsBehind(
  place: Place,
  auditKeys: readonly VersionedKey[],
  publicKeys: readonly CheckpointPublicKey[],
  stored: readonly SignedKeyChange[],
  headVersion: string,
): SegmentsBehind | ChainBreak {
  const isKnown = (version: string) => auditKeys.some((key) => key.version === version);
  if (!isKnown(headVersion)) throw missingVersion('AUDIT_KEY', headVersion);
  const lastUnknown = stored.findLastIndex(({ from }) => !isKnown(from));
  const ended = stored[lastUnknown];
  const changes = [];
  for (const change of stored.slice(lastUnknown + 1)) {
    const opened = openKeyChange(publicKeys, change);
    if (opened === null) return unsigned(change);
    changes.push(opened);
  }
  if (ended !== undefined && !isSignedWith(publicKeys, ended, ended.to)) return unsigned(ended);
  const segments = segmentsOf(auditKeys, changes, headVersion);
  if (!Array.isArray(segments)) return segments;
  return { start: ended === undefined ? place : { seq: ended.seq, hash: Buffer.from(ended.hash, 'hex') }, segments };
}

function unsigned({ seq, from, to }: SignedKeyChange): ChainBreak {
  return { seq, reason: `The change of AUDIT_KEY from version ${from} to ${to} was not signed with both.` };
}
