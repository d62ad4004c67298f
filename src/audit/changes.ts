import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import type { Caller } from '../access/caller.js';
import { uuidv7 } from '../common/uuid.js';
import { Config } from '../config/config.js';
import type { FieldChange } from './audit-event.entity.js';
import { type AuditLink, type AuditRecord, link } from './chain.js';
import { StartOver } from './start-over.js';

/** The channel that wakes replicas; the rows themselves are the message. */
export const CHANGE_CHANNEL = 'latchkey_changes';

/** One act for the trail. `action` defaults to what the route is called. */
export interface ChangeEntry {
  readonly action?: string;
  readonly resourceType: string;
  readonly resourceId: string | null;
  readonly outcome?: 'success' | 'refused';
  readonly changes?: readonly FieldChange[];
  readonly details?: Readonly<Record<string, unknown>>;
}

/** A change in progress: work in `tx`, and say what was done by `record`. */
export interface Change {
  readonly tx: EntityManager;
  readonly record: (entry: ChangeEntry) => void;
}

/** What a change came to: its result, and the `seq` by which a replica has applied it (null: nothing changed). */
export interface Committed<T> {
  readonly result: T;
  readonly seq: string | null;
}

/** Deadlocks and serialisation failures are nobody's fault: the whole change runs again. */
const RETRIABLE = new Set(['40P01', '40001']);
const MAX_ATTEMPTS = 4;

/**
 * The only door to a management change. The change and its audit rows commit together or not at all, and
 * the audit rows are the change feed: the head row is locked last, so that order of `seq` is order of
 * commit, without gaps.
 *
 * @see docs/adr on the change feed
 */
@Injectable()
export class Changes {
  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Config,
  ) {}

  /**
   * Runs `work` in one transaction and appends what it recorded. A change that recorded nothing leaves no
   * trace and wakes nobody. `work` may run more than once and must have no effect but through `tx`.
   *
   * @throws DomainError 503 by the problem filter when a lock is not to be had within 2 s.
   */
  async transaction<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<T> {
    return (await this.commit(caller, work)).result;
  }

  /** As `transaction`, telling the sequence number of the change as well. */
  async commit<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<Committed<T>> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.attempt(caller, work);
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !isRetriable(error)) throw error;
      }
    }
  }

  private async attempt<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<Committed<T>> {
    return this.dataSource.transaction(async (tx) => {
      await tx.query(`SET LOCAL lock_timeout = '2s'`);
      const entries: ChangeEntry[] = [];
      const result = await work({ tx, record: (entry) => entries.push(entry) });
      const seq = entries.length === 0 ? null : await this.append(tx, caller, entries);
      return { result, seq };
    });
  }

  /** Locks the head, links the rows and writes both in one statement; returns the last `seq`. */
  private async append(tx: EntityManager, caller: Caller, entries: readonly ChangeEntry[]): Promise<string> {
    // A replica paused while it holds the head must not stop the others for longer than this.
    const [head] = await tx.query<{ seq: string; audit_hash: Buffer; at: Date }[]>(
      `SELECT seq, audit_hash, date_trunc('milliseconds', clock_timestamp()) AS at,
              set_config('idle_in_transaction_session_timeout', '500ms', true)
         FROM change_head FOR UPDATE`,
    );
    if (!head) throw new Error('The change head is missing: the schema is damaged.');
    const links = linkAll(this.config.auditKey, head, caller, entries);
    const last = links.at(-1)!;
    await tx.query(
      `WITH appended AS (
         INSERT INTO audit_event (seq, id, at, actor_kind, actor_id, actor_owner_id, action, resource_type,
                                  resource_id, outcome, ip, request_id, changes, details, body, hash)
         SELECT (b->>'seq')::bigint, (b->>'id')::uuid, (b->>'at')::timestamptz, b->'actor'->>'kind', b->'actor'->>'id',
                (b->'actor'->>'ownerId')::uuid, b->>'action', b->>'resourceType', b->>'resourceId', b->>'outcome',
                b->>'ip', b->>'requestId', b->'changes', b->'details', body, hash
           FROM unnest($1::text[], $2::bytea[]) AS row (body, hash), LATERAL (SELECT body::jsonb AS b) AS parsed
       )
       UPDATE change_head SET seq = ($3::text)::bigint, audit_hash = $4 RETURNING pg_notify($5, $3::text)`,
      [links.map((entry) => entry.body), links.map((entry) => entry.hash), last.record.seq, last.hash, CHANGE_CHANNEL],
    );
    return last.record.seq;
  }
}

/** Links `entries`, in order, to the chain that ends in `head`. */
function linkAll(
  auditKey: Buffer,
  head: { seq: string; audit_hash: Buffer; at: Date },
  caller: Caller,
  entries: readonly ChangeEntry[],
): AuditLink[] {
  let previous = head.audit_hash;
  let seq = BigInt(head.seq);
  return entries.map((entry) => {
    seq += 1n;
    const next = link(auditKey, previous, recordOf(seq, head.at, caller, entry));
    previous = next.hash;
    return next;
  });
}

function recordOf(seq: bigint, at: Date, caller: Caller, entry: ChangeEntry): AuditRecord {
  const action = entry.action ?? caller.action;
  if (action === null) throw new Error('A change without a name: give the route an @Audited.');
  const { principal } = caller;
  return {
    seq: seq.toString(),
    id: uuidv7(at.getTime()),
    at: at.toISOString(),
    actor: principal
      ? { kind: principal.kind, id: principal.id, ownerId: principal.ownerId }
      : { kind: caller.requestId === null ? 'system' : 'anonymous', id: null, ownerId: null },
    action,
    resourceType: entry.resourceType,
    resourceId: entry.resourceId,
    outcome: entry.outcome ?? 'success',
    ip: caller.ip,
    requestId: caller.requestId,
    changes: entry.changes ?? [],
    details: entry.details ?? {},
  };
}

function isRetriable(error: unknown): boolean {
  return error instanceof StartOver || (error instanceof QueryFailedError && RETRIABLE.has(sqlState(error)));
}

/** SQLSTATE of a failed statement. */
export function sqlState(error: unknown): string {
  const { code } = ((error as { driverError?: unknown }).driverError ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}
