import type { AuditRecord } from './chain.js';
import type { Openings } from './personal-values.js';
import type { ReadRecord } from './reads/append-reads.js';

/** An entry of the trail as it is stored, as far as lists show it. */
export interface StoredEvent {
  readonly seq: string;
  readonly id: string;
  /** ISO 8601, UTC, milliseconds; anything else for an instant that has no such form. */
  readonly at: string;
  readonly body: string;
  readonly hash: Buffer;
}

/** An event as it was hashed, with its hash. */
export interface AuditedEvent {
  /** With what an entry of the chain of reads says besides. */
  readonly record: AuditRecord & Partial<Pick<ReadRecord, 'chain' | 'keyVersion'>>;
  readonly hash: Buffer;
  /**
   * Whether the body is none that Latchkey wrote: the record then says no more than the columns `seq`, `id` and `at`.
   */
  readonly isUnreadable: boolean;
  /** What opens the commitments in it; absent: it has none. */
  readonly openings?: Openings;
}

/**
 * What an entry says. One with a body of another form is shown all the same: a row that was forged must not hide
 * others.
 */
export function eventOf({ seq, id, at, body, hash }: StoredEvent): AuditedEvent {
  const said = parsed(body);
  if (isRecord(said) && said.seq === seq && said.id === id && said.at === at)
    return { record: said, hash, isUnreadable: false };
  return {
    record: { ...UNREADABLE, seq, id, at: Number.isNaN(Date.parse(at)) ? BEGINNING : at },
    hash,
    isUnreadable: true,
  };
}

const BEGINNING = new Date(0).toISOString();

const UNREADABLE = {
  actor: { kind: 'system', id: null, ownerId: null },
  action: 'audit:unreadable',
  resourceType: 'audit-event',
  resourceId: null,
  outcome: 'refused',
  ip: null,
  requestId: null,
  changes: [],
  details: {},
} as const;

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is AuditedEvent['record'] {
  if (!isObject(value) || !isObject(value['actor']) || !isObject(value['details']) || !Array.isArray(value['changes']))
    return false;
  const { at, actor, changes, chain, keyVersion } = value;
  const texts = [
    value['id'],
    value['seq'],
    at,
    actor['kind'],
    value['action'],
    value['resourceType'],
    value['outcome'],
  ];
  const perhaps = [
    actor['id'],
    actor['ownerId'],
    value['resourceId'],
    value['ip'],
    value['requestId'],
    chain ?? null,
    keyVersion ?? null,
  ];
  return (
    texts.every((text) => typeof text === 'string') &&
    perhaps.every((text) => text === null || typeof text === 'string') &&
    !Number.isNaN(Date.parse(at as string)) &&
    changes.every(isObject)
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
