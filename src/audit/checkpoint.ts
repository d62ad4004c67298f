import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from 'node:crypto';
import { canonicalJson } from '../common/canonical-json.js';
import type { VersionedKey } from '../config/versioned-secrets.js';
import type { Anchor, SignedAnchor } from './chain-check.js';

/** Names the format; another format gets another name. */
const TYPE = 'latchkey-audit-checkpoint/1';

/** PKCS #8 of an Ed25519 key up to its 32 bytes of seed. @see RFC 8410, section 7 */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A checkpoint as it is written down, one line of JSON. @see docs/audit-trail.md */
export interface SignedCheckpoint {
  readonly type: typeof TYPE;
  readonly seq: string;
  /** Hexadecimal. */
  readonly hash: string;
  /** ISO 8601, UTC, milliseconds. */
  readonly at: string;
  /** Ed25519 over the canonical JSON of the other members; base64url. */
  readonly signature: string;
}

/** The key that signs checkpoints; the same for everybody who has the audit key, and not to be had without it. */
export function checkpointKey(auditKey: Buffer): KeyObject {
  const seed = Buffer.from(hkdfSync('sha256', auditKey, '', 'latchkey audit checkpoint', 32));
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

/** What checkpoints of one version of AUDIT_KEY are checked with. */
export interface CheckpointPublicKey {
  readonly version: string;
  readonly publicKey: KeyObject;
}

/** What checkpoints are checked with, for each version. */
export function checkpointPublicKeys(auditKeys: readonly VersionedKey[]): CheckpointPublicKey[] {
  return auditKeys.map(({ version, key }) => ({ version, publicKey: createPublicKey(checkpointKey(key)) }));
}

/** What others check checkpoints with: SPKI, as PEM. */
export function checkpointPublicKeyPem(auditKey: Buffer): string {
  return createPublicKey(checkpointKey(auditKey)).export({ format: 'pem', type: 'spki' }).toString();
}

/** Signs a place of the chain. */
export function signCheckpoint(key: KeyObject, { seq, hash, at }: Anchor): SignedCheckpoint {
  const statement = { type: TYPE, seq, hash: hash.toString('hex'), at } as const;
  return { ...statement, signature: signStatement(key, statement) };
}

/** Reads a checkpoint back; null unless it is one and one of the keys has signed it. */
export function openCheckpoint(keys: readonly CheckpointPublicKey[], value: unknown): SignedAnchor | null {
  if (!isCheckpoint(value)) return null;
  const { signature, ...statement } = value;
  const signer = keys.find(({ publicKey }) => isSignatureOf(publicKey, statement, signature));
  if (signer === undefined) return null;
  return { seq: statement.seq, hash: Buffer.from(statement.hash, 'hex'), at: statement.at, signedBy: [signer.version] };
}

/** Ed25519 over the canonical JSON of a statement; base64url. */
export function signStatement(key: KeyObject, statement: object): string {
  return sign(null, Buffer.from(canonicalJson(statement), 'utf8'), key).toString('base64url');
}

/** Whether `signature` is what `signStatement` gives with the private half of this key. */
export function isSignatureOf(publicKey: KeyObject, statement: object, signature: string): boolean {
  return verify(null, Buffer.from(canonicalJson(statement), 'utf8'), publicKey, Buffer.from(signature, 'base64url'));
}

function isCheckpoint(value: unknown): value is SignedCheckpoint {
  const { type, seq, hash, at, signature, ...rest } = (value ?? {}) as Record<string, unknown>;
  return (
    type === TYPE &&
    typeof seq === 'string' &&
    /^[1-9]\d{0,18}$/.test(seq) &&
    typeof hash === 'string' &&
    /^[0-9a-f]{64}$/.test(hash) &&
    typeof at === 'string' &&
    typeof signature === 'string' &&
    Object.keys(rest).length === 0
  );
}
