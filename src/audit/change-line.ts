import type { KeyObject } from 'node:crypto';
import type { Anchor, SignedAnchor } from './chain-check.js';
import { type CheckpointPublicKey, isSignatureOf, signStatement } from './checkpoint.js';

/**
 * Names the format; another format gets another name. Readers of checkpoints that do not know it pass such a line over.
 */
export const CHANGE_LINE_TYPE = 'latchkey-audit-changes/1';

/**
 * One change of the trail, as it is kept outside of the database: ids and states, never a name of a person or a secret.
 */
export interface RecordedChange {
  readonly seq: string;
  /** ISO 8601. */
  readonly at: string;
  readonly action: string;
  readonly type: string;
  readonly id: string | null;
  /** Fields that can narrow access, as they were afterwards. */
  readonly state?: Readonly<Record<string, unknown>>;
  /** Secrets that ended, by kid; at the instant, or null: with the change. */
  readonly ended?: Readonly<Record<string, string | null>>;
}

/** The changes behind `after`, up to the place of the chain that `anchor` names; all of them. */
export interface ChangeLine {
  readonly anchor: Anchor;
  readonly after: string;
  readonly changes: readonly RecordedChange[];
}

/** A line as it is written down. @see docs/audit-trail.md */
export interface SignedChangeLine {
  readonly type: typeof CHANGE_LINE_TYPE;
  readonly after: string;
  readonly seq: string;
  /** Of entry `seq`; hexadecimal. */
  readonly hash: string;
  readonly at: string;
  readonly changes: readonly RecordedChange[];
  /** Ed25519 over the canonical JSON of the other members; base64url. */
  readonly signature: string;
}

/** Signs a line with the key that signs checkpoints. */
export function signChangeLine(key: KeyObject, { anchor, after, changes }: ChangeLine): SignedChangeLine {
  const { seq, hash, at } = anchor;
  const statement = { type: CHANGE_LINE_TYPE, after, seq, hash: hash.toString('hex'), at, changes } as const;
  return { ...statement, signature: signStatement(key, statement) };
}

/** Reads a line back; null unless it is one and one of the keys has signed it. */
export function openChangeLine(
  keys: readonly CheckpointPublicKey[],
  value: unknown,
): (ChangeLine & { readonly anchor: SignedAnchor }) | null {
  if (!isChangeLine(value)) return null;
  const { signature, ...statement } = value;
  const signer = keys.find(({ publicKey }) => isSignatureOf(publicKey, statement, signature));
  if (signer === undefined) return null;
  const { after, changes, seq, hash, at } = statement;
  return { anchor: { seq, hash: Buffer.from(hash, 'hex'), at, signedBy: [signer.version] }, after, changes };
}

function isChangeLine(value: unknown): value is SignedChangeLine {
  const { type, after, seq, hash, at, changes, signature } = (value ?? {}) as Record<string, unknown>;
  const texts = [after, seq, hash, at, signature].every((text) => typeof text === 'string');
  return (
    type === CHANGE_LINE_TYPE &&
    texts &&
    /^\d{1,19}$/.test(`${after as string}`) &&
    /^\d{1,19}$/.test(`${seq as string}`) &&
    Array.isArray(changes)
  );
}
