import type { VersionedKey } from '../config/versioned-secrets.js';
import { type Anchor, ChainCheck, GENESIS } from './chain-check.js';
import type { FirstBreak } from './chain-verifier.js';
import { type CheckpointPublicKey, openCheckpoint } from './checkpoint.js';
import type { CheckpointState } from './checkpoints.repository.js';
import { ReadChainCheck } from './reads/read-chain-check.js';
import { openReadCheckpoint } from './reads/read-checkpoint.js';
import { READ_CUT, readCutOf, type ReadCutRow } from './reads/read-cuts.js';
import { type Ask, checkStretch, type Place, segmentsBehind } from './stretch.js';

/**
 * What is looked at before a checkpoint: of a long stretch a part, and the rest before the next one. In milliseconds.
 */
const MAX_CHECK_MS = 1_500;

/** What a checkpoint may vouch for. */
export interface SoundPlaces {
  /** The version of AUDIT_KEY that signs at `head`. */
  readonly version: string;
  readonly head: Anchor;
  /** Null where the chain of reads is not to be signed: the chain of changes was not looked at up to its end. */
  readonly reads: Anchor | null;
}

/**
 * Checks the entries of both chains since their last checkpoints. A checkpoint must not vouch for what a writer of the
 * database has added: the application may move the head to any entry that is there.
 */
export async function checkUnsigned(
  state: CheckpointState,
  auditKeys: readonly VersionedKey[],
  publicKeys: readonly CheckpointPublicKey[],
  ask: Ask,
): Promise<SoundPlaces | FirstBreak> {
  const { head, last } = state;
  const signed = last === null ? { seq: '0', hash: GENESIS } : openCheckpoint(publicKeys, last);
  const behind = segmentsBehind(signed ?? head, auditKeys, publicKeys, state.keyChanges, state.auditKeyVersion);
  if (!('segments' in behind)) return { ...behind, chain: 'changes' };
  const { start, segments } = behind;
  // One that was signed with a version that is not configured any more is followed by a change to one that is.
  if (signed === null && start === head)
    return {
      seq: last!.seq,
      reason: 'The newest checkpoint in the database was not signed with this audit key.',
      chain: 'changes',
    };
  const changes = await checkStretch(
    ask,
    new ChainCheck(segments, [], start),
    'audit_event',
    start,
    head,
    MAX_CHECK_MS,
  );
  if (changes.broken !== null) return { ...changes.broken, chain: 'changes' };
  const at = { ...changes.place, at: head.at };
  const isAll = changes.place.seq === head.seq;
  const version = segments.find(({ end }) => end === null || BigInt(end.seq) >= BigInt(at.seq))!.version;
  if (!isAll) return { version, head: at, reads: null };
  const reads = await checkReads(state, auditKeys, publicKeys, ask);
  return 'broken' in reads
    ? reads.broken
    : { version: state.auditKeyVersion, head: at, reads: { ...reads, at: head.at } };
}

async function checkReads(
  { reads: { head, last }, versions }: CheckpointState,
  auditKeys: readonly VersionedKey[],
  publicKeys: readonly CheckpointPublicKey[],
  ask: Ask,
): Promise<Place | { broken: FirstBreak }> {
  const segments = versions
    .flatMap((version) => auditKeys.filter((key) => key.version === version))
    .map((key) => ({ ...key, end: null }));
  const start =
    last === null
      ? (readCutOf(await ask<ReadCutRow>(READ_CUT, [])) ?? { seq: '0', hash: GENESIS })
      : openReadCheckpoint(publicKeys, last);
  if (start === null)
    return broken(last!.seq, 'The newest checkpoint of reads in the database was not signed with this audit key.');
  const found = await checkStretch(
    ask,
    new ReadChainCheck(segments, [], start),
    'audit_read',
    start,
    head,
    MAX_CHECK_MS,
  );
  return found.broken === null ? found.place : broken(found.broken.seq, found.broken.reason);
}

function broken(seq: string, reason: string): { broken: FirstBreak } {
  return { broken: { seq, reason, chain: 'reads' } };
}
