import { readFile } from 'node:fs/promises';
import type { KeyObject } from 'node:crypto';
import type { SignedAnchor } from '../chain-check.js';
import { type CheckpointPublicKey, isSignatureOf, signStatement } from '../checkpoint.js';

/**
 * Names the format; another format gets another name. Readers of checkpoints that do not know it pass such a line over.
 */
const TYPE = 'latchkey-audit-reads/1';

/** A place of the chain, hexadecimal. */
interface Place {
  readonly seq: string;
  readonly hash: string;
}

/** Where both chains were, as it is written down, one line of JSON. @see docs/audit-trail.md */
export interface SignedReadCheckpoint extends Place {
  readonly type: typeof TYPE;
  /** ISO 8601, UTC, milliseconds. */
  readonly at: string;
  /** The head of the trail of changes at that instant. */
  readonly changes: Place;
  /** Ed25519 over the canonical JSON of the other members; base64url. */
  readonly signature: string;
}

/** Signs both heads, with the key that signs checkpoints. */
export function signReadCheckpoint(key: KeyObject, at: string, reads: Place, changes: Place): SignedReadCheckpoint {
  const statement = {
    type: TYPE,
    seq: reads.seq,
    hash: reads.hash,
    at,
    changes: { seq: changes.seq, hash: changes.hash },
  } as const;
  return { ...statement, signature: signStatement(key, statement) };
}

/** Reads a checkpoint back; null unless it is one and one of the keys has signed it. */
export function openReadCheckpoint(keys: readonly CheckpointPublicKey[], value: unknown): SignedAnchor | null {
  if (!isReadCheckpoint(value)) return null;
  const { signature, ...statement } = value;
  const signer = keys.find(({ publicKey }) => isSignatureOf(publicKey, statement, signature));
  if (signer === undefined) return null;
  return { seq: statement.seq, hash: Buffer.from(statement.hash, 'hex'), at: statement.at, signedBy: [signer.version] };
}

/** What a file of checkpoints says of reads. */
export interface ReadCheckpointFile {
  readonly anchors: readonly SignedAnchor[];
  /** Numbers, from 1, of lines that claim to be checkpoints of reads and were not signed with our key. */
  readonly forgedLines: readonly number[];
}

/**
 * Checkpoints of reads in a file: our own, or collected log lines. Lines that do not claim to be one are passed over.
 *
 * @throws Error when the file cannot be read
 */
export async function readReadCheckpoints(
  path: string,
  keys: readonly CheckpointPublicKey[],
): Promise<ReadCheckpointFile> {
  const anchors: SignedAnchor[] = [];
  const forgedLines: number[] = [];
  for (const [index, line] of (await readFile(path, 'utf8')).split('\n').entries()) {
    const claim = claimOf(line);
    if (claim === null) continue;
    const anchor = openReadCheckpoint(keys, claim);
    if (anchor === null) forgedLines.push(index + 1);
    else anchors.push(anchor);
  }
  return { anchors, forgedLines };
}

function claimOf(line: string): unknown {
  if (!line.includes(TYPE)) return null;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    return 'auditCheckpoint' in value ? value['auditCheckpoint'] : value;
  } catch {
    return null;
  }
}

function isReadCheckpoint(value: unknown): value is SignedReadCheckpoint {
  const { type, at, changes, signature, ...rest } = (value ?? {}) as Record<string, unknown>;
  return type === TYPE && typeof at === 'string' && typeof signature === 'string' && isPlace(changes) && isPlace(rest);
}

function isPlace(value: unknown): value is Place {
  const { seq, hash, ...rest } = (value ?? {}) as Record<string, unknown>;
  const isSeq = typeof seq === 'string' && /^\d{1,19}$/.test(seq);
  return isSeq && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash) && Object.keys(rest).length === 0;
}
