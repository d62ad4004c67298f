import type { KeyObject } from 'node:crypto';
import { type CheckpointPublicKey, isSignatureOf, signStatement } from '../checkpoint.js';

/** Names the format; another format gets another name. */
const TYPE = 'latchkey-audit-segment/1';

/** Which entries of which trail a segment has, and where they are. */
export interface SegmentContent {
  /** The installation whose trail this is. */
  readonly installation: string;
  readonly chain: 'changes' | 'reads';
  readonly fromSeq: string;
  readonly toSeq: string;
  /** Of the entry before `fromSeq`, on which that one builds; hexadecimal. */
  readonly previousHash: string;
  /** Of the last entry; hexadecimal. */
  readonly hash: string;
  readonly entries: number;
  /** When the first and the last entry were recorded. */
  readonly from: string;
  readonly until: string;
  readonly file: string;
  readonly bytes: number;
  /** Of the file as it is stored, hexadecimal. */
  readonly sha256: string;
}

/** A summary as it lies beside its segment and in the database. @see docs/audit-trail.md */
export interface SignedSummary extends SegmentContent {
  readonly type: typeof TYPE;
  /** When it was signed. */
  readonly at: string;
  /** The version of AUDIT_KEY that signed. */
  readonly keyVersion: string;
  /** Ed25519 over the canonical JSON of the other members; base64url. */
  readonly signature: string;
}

/** Signs what a segment has. */
export function signSummary(key: KeyObject, keyVersion: string, at: string, content: SegmentContent): SignedSummary {
  const statement = { type: TYPE, ...content, at, keyVersion } as const;
  return { ...statement, signature: signStatement(key, statement) };
}

/** Reads a summary back; null unless it is one and the version that it names has signed it. */
export function openSummary(keys: readonly CheckpointPublicKey[], value: unknown): SignedSummary | null {
  if (!isSummary(value)) return null;
  const { signature, ...statement } = value;
  const signer = keys.find(({ version }) => version === value.keyVersion);
  return signer !== undefined && isSignatureOf(signer.publicKey, statement, signature) ? value : null;
}

/** Whether both say the same of a segment, whenever and by whichever version they were signed. */
export function isSameContent(one: SegmentContent, other: SegmentContent): boolean {
  return [...TEXTS, ...NUMBERS].every((name) => one[name] === other[name]);
}

/** The name of a segment; in the order of names, segments follow each other. */
export function segmentName(chain: SegmentContent['chain'], fromSeq: string, toSeq: string): string {
  return `audit-${chain}-${fromSeq.padStart(12, '0')}-${toSeq.padStart(12, '0')}.ndjson.gz`;
}

/** The name of the summary of a segment. */
export function summaryName(file: string): string {
  return file.replace(/\.ndjson\.gz$/, '.summary.json');
}

/** Whether a file may be the summary of a segment of `chain`. */
export function isSummaryName(name: string, chain: SegmentContent['chain']): boolean {
  return name.startsWith(`audit-${chain}-`) && name.endsWith('.summary.json');
}

const TEXTS = [
  ...(['installation', 'chain', 'fromSeq', 'toSeq', 'previousHash', 'hash'] as const),
  ...(['from', 'until', 'file', 'sha256'] as const),
] as const;
const NUMBERS = ['entries', 'bytes'] as const;

function isSummary(value: unknown): value is SignedSummary {
  if (typeof value !== 'object' || value === null) return false;
  const { type, at, keyVersion, signature, ...content } = value as Record<string, unknown>;
  const isSeq = (name: string) => /^[1-9]\d{0,17}$/.test(String(content[name]));
  const isHash = (name: string) => /^[0-9a-f]{64}$/.test(String(content[name]));
  return (
    type === TYPE &&
    [at, keyVersion, signature, ...TEXTS.map((name) => content[name])].every((text) => typeof text === 'string') &&
    NUMBERS.every((name) => Number.isSafeInteger(content[name])) &&
    isSeq('fromSeq') &&
    isSeq('toSeq') &&
    ['previousHash', 'hash', 'sha256'].every(isHash) &&
    Object.keys(content).length === TEXTS.length + NUMBERS.length
  );
}
