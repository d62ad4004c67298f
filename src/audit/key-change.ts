import type { VersionedKey } from '../config/versioned-secrets.js';
import type { SignedAnchor } from './chain-check.js';
import { type CheckpointPublicKey, checkpointKey, isSignatureOf, signStatement } from './checkpoint.js';

/** Names the format; another format gets another name. */
const TYPE = 'latchkey-audit-key-change/1';

/** Where one version of AUDIT_KEY made its last entry, and the next one begins. */
export interface KeyChange {
  /** The last entry of `from`. */
  readonly seq: string;
  readonly hash: Buffer;
  /** ISO 8601, UTC, milliseconds. */
  readonly at: string;
  readonly from: string;
  readonly to: string;
}

/** A change of key as it is written down, one line of JSON: a checkpoint that both versions have signed. */
export interface SignedKeyChange {
  readonly type: typeof TYPE;
  readonly seq: string;
  /** Hexadecimal. */
  readonly hash: string;
  readonly at: string;
  readonly from: string;
  readonly to: string;
  /** By version: Ed25519 over the canonical JSON of the other members; base64url. */
  readonly signatures: Readonly<Record<string, string>>;
}

/** Signs a change with both of its keys. */
export function signKeyChange(
  from: VersionedKey,
  to: VersionedKey,
  place: Pick<KeyChange, 'seq' | 'hash' | 'at'>,
): SignedKeyChange {
  const { seq, hash, at } = place;
  const statement = { type: TYPE, seq, hash: hash.toString('hex'), at, from: from.version, to: to.version } as const;
  const signatures = [from, to].map(({ version, key }) => [version, signStatement(checkpointKey(key), statement)]);
  return { ...statement, signatures: Object.fromEntries(signatures) as Record<string, string> };
}

/** Reads a change back; null unless it is one and both of its keys have signed it. */
export function openKeyChange(keys: readonly CheckpointPublicKey[], value: unknown): KeyChange | null {
  if (!isKeyChange(value)) return null;
  const { signatures: _, ...statement } = value;
  if (![statement.from, statement.to].every((version) => isSignedWith(keys, value, version))) return null;
  const { seq, hash, at, from, to } = statement;
  return { seq, hash: Buffer.from(hash, 'hex'), at, from, to };
}

/** Whether one version signed a change, where the other is not known. */
export function isSignedWith(keys: readonly CheckpointPublicKey[], value: unknown, version: string): boolean {
  if (!isKeyChange(value)) return false;
  const { signatures, ...statement } = value;
  const key = keys.find((one) => one.version === version);
  const signature = signatures[version];
  return key !== undefined && typeof signature === 'string' && isSignatureOf(key.publicKey, statement, signature);
}

/** The place that a change vouches for. */
export function anchorOf({ seq, hash, at, from, to }: KeyChange): SignedAnchor {
  return { seq, hash, at, signedBy: [from, to] };
}

function isKeyChange(value: unknown): value is SignedKeyChange {
  const { type, seq, hash, at, from, to, signatures, ...rest } = (value ?? {}) as Record<string, unknown>;
  return (
    type === TYPE &&
    typeof seq === 'string' &&
    /^[1-9]\d{0,18}$/.test(seq) &&
    typeof hash === 'string' &&
    /^[0-9a-f]{64}$/.test(hash) &&
    [at, from, to].every((text) => typeof text === 'string') &&
    from !== to &&
    typeof signatures === 'object' &&
    signatures !== null &&
    Object.keys(rest).length === 0
  );
}
