import { createHmac } from 'node:crypto';
import { canonicalJson } from '../common/canonical-json.js';
import type { ActorKind, FieldChange } from './audit-event.entity.js';

/** What one audit row says; the hash covers exactly this, in canonical JSON. */
export interface AuditRecord {
  readonly seq: string;
  readonly id: string;
  /** ISO 8601, UTC, milliseconds. */
  readonly at: string;
  readonly actor: { readonly kind: ActorKind; readonly id: string | null; readonly ownerId: string | null };
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | null;
  readonly outcome: 'success' | 'refused';
  readonly ip: string | null;
  readonly requestId: string | null;
  readonly changes: readonly FieldChange[];
  readonly details: Readonly<Record<string, unknown>>;
}

/** A row ready to be stored: the text that was hashed, and the hash that the next row builds on. */
export interface AuditLink {
  readonly record: AuditRecord;
  readonly body: string;
  readonly hash: Buffer;
}

/** `hash_n = HMAC-SHA-256(AUDIT_KEY, hash_{n−1} ‖ body_n)`. @see docs/adr on the audit chain */
export function linkHash(auditKey: Buffer, previous: Buffer, body: string): Buffer {
  return createHmac('sha256', auditKey).update(previous).update(body, 'utf8').digest();
}

/** Appends `record` to a chain that ends in `previous`. */
export function link(auditKey: Buffer, previous: Buffer, record: AuditRecord): AuditLink {
  const body = canonicalJson(record);
  return { record, body, hash: linkHash(auditKey, previous, body) };
}
