import { canonicalJson } from '../../common/canonical-json.js';
import type { AuditRecord } from '../chain.js';
import type { StoredLink } from '../chain-check.js';
import type { ChainTable } from '../chain-tables.js';

/** An event of a copy, as `lineOf` wrote it. */
export interface CopiedEvent {
  readonly table: ChainTable;
  readonly record: AuditRecord & { readonly keyVersion?: string };
  /** The event as the chain has it. */
  readonly link: StoredLink;
}

/** What a line has beside what was hashed. */
interface Beside {
  readonly hash: string;
  readonly chain?: unknown;
  readonly personal?: unknown;
}

const TEXTS = ['id', 'seq', 'at', 'action', 'resourceType', 'outcome', 'hash'] as const;

/** Reads a line of a copy; null for what is no event, such as a line that was cut short. */
export function eventOfLine(line: string): CopiedEvent | null {
  const value = parsed(line);
  if (value === null || !TEXTS.every((name) => typeof value[name] === 'string')) return null;
  // What opens the commitments is beside the event, not in what was hashed; after an erasure it is gone.
  const { hash, personal: _, ...record } = value as unknown as CopiedEvent['record'] & Beside;
  if (!/^[1-9]\d{0,18}$/.test(record.seq) || !/^[0-9a-f]{64}$/.test(hash)) return null;
  if (typeof record.actor !== 'object' || record.actor === null) return null;
  const link = {
    ...record,
    at: record.at.replace('Z', '000Z'),
    actorKind: record.actor.kind,
    actorId: record.actor.id,
    actorOwnerId: record.actor.ownerId,
    changes: JSON.stringify(record.changes),
    details: JSON.stringify(record.details),
    body: canonicalJson(record),
    hash: Buffer.from(hash, 'hex'),
  };
  return { table: record.chain === 'reads' ? 'audit_read' : 'audit_event', record, link };
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
