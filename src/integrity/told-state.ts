import { type AuditRecord, linkHash } from '../audit/chain.js';
import { GENESIS } from '../audit/chain-check.js';
import type { VersionedKey } from '../config/versioned-secrets.js';

/** What the trail calls a row that an operator has taken for right as it is. */
export const ACCEPT_ACTION = 'system:accept-row';

/** An entry of the trail with what its hash builds on; hexadecimal. */
export interface StoredEntry {
  readonly seq: string;
  readonly body: string;
  readonly hash: string;
  /** null: there is no entry before it. */
  readonly previous: string | null;
}

/** What the trail says of one thing, by the newest entry about each of its fields. */
export interface ToldState {
  readonly fields: Readonly<Record<string, unknown>>;
  /** Whether any entry tells of it. */
  readonly isKnown: boolean;
  /** Whether the newest entry that changed a field deleted it. */
  readonly isDeleted: boolean;
  /** Entries that were made without AUDIT_KEY: what they say does not count. */
  readonly forged: readonly string[];
  /** Oldest first. */
  readonly records: readonly AuditRecord[];
}

/**
 * Reads what entries say of one thing. Each must follow from the entry before it under AUDIT_KEY: an entry that was
 * written past Latchkey excuses nothing.
 */
export function toldBy(auditKeys: readonly VersionedKey[], entries: readonly StoredEntry[]): ToldState {
  const inOrder = [...entries].sort((one, other) => (BigInt(one.seq) < BigInt(other.seq) ? -1 : 1));
  const forged = inOrder.filter((entry) => !isGenuine(auditKeys, entry)).map(({ seq }) => seq);
  const records = inOrder.filter(({ seq }) => !forged.includes(seq)).map(({ body }) => JSON.parse(body) as AuditRecord);
  const fields: Record<string, unknown> = {};
  let isDeleted = false;
  for (const { changes, action, details } of records) {
    for (const change of changes) fields[change.field] = change.after;
    if (changes.length > 0)
      isDeleted = action.endsWith(':delete') || (action === ACCEPT_ACTION && details['isGone'] === true);
  }
  return { fields, isKnown: records.length > 0, isDeleted, forged, records };
}

function isGenuine(auditKeys: readonly VersionedKey[], { body, hash, previous }: StoredEntry): boolean {
  const before = previous === null ? GENESIS : Buffer.from(previous, 'hex');
  const stored = Buffer.from(hash, 'hex');
  return auditKeys.some(({ key }) => linkHash(key, before, body).equals(stored));
}
