import type { QueryConfig } from 'pg';
import { QueryFailedError } from 'typeorm';
import type { Caller } from '../access/caller.js';
import { isConnectionLost, isRetriable, isUnfitData } from '../common/database-errors.js';
import { unavailable } from '../common/domain-error.js';
import { missingVersion } from '../common/missing-version.js';
import { uuidv7 } from '../common/uuid.js';
import { PLAIN_VERSION, type VersionedKey } from '../config/versioned-secrets.js';
import { KNOWS_NO_COMMITMENTS } from '../database/older-replicas.js';
import { inOneTrip } from '../database/in-one-trip.js';
import type { OpenTransaction } from '../database/transaction.js';
import type { FieldChange } from './audit-event.entity.js';
import { type AuditLink, type AuditRecord, link } from './chain.js';
import { type PersonalValue, withCommitments } from './personal-values.js';

/** One thing that happened. `action` defaults to what the caller's route is called. */
export interface ActEntry {
  readonly action?: string;
  readonly resourceType: string;
  readonly resourceId: string | null;
  readonly outcome?: 'success' | 'refused';
  readonly changes?: readonly FieldChange[];
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Who did what: all that becomes one row of the trail. */
export interface Act {
  readonly caller: Caller;
  readonly entry: ActEntry;
}

/** The end of the chain. */
export interface Head {
  readonly seq: string;
  readonly audit_hash: Buffer;
  /** Of AUDIT_KEY; null while it has never had another version than that of a plain value. */
  readonly audit_key_version: string | null;
  readonly at: Date;
  /** Whether a replica may run that knows no commitments: personal values are written as it writes them. */
  readonly is_plain: boolean;
}

/**
 * Appends `acts`, in their order, as the last thing a transaction does, commits it, and returns the last `seq`. The
 * head row stays locked until the commit, which makes order of `seq` order of commit, without gaps. It is held for one
 * round trip: what is appended and COMMIT travel together. `channel` is notified on commit; null wakes nobody.
 * `locked`: the head, where the transaction holds it already. The head names the version of AUDIT_KEY that signs:
 * replicas agree on it whatever order their lists have.
 *
 * @throws DomainError 503 when the trail does not take the acts: what was to be recorded must not happen either.
 * @throws ConnectionLostError, OutcomeUnknownError as every transaction
 * @throws QueryFailedError for deadlocks, which the caller may retry, and for acts that no row can hold.
 * @see docs/adr/0003-audit-chain-and-change-feed.md
 */
export async function commitActs(
  tx: OpenTransaction,
  auditKeys: readonly VersionedKey[],
  acts: readonly Act[],
  channel: string | null,
  locked?: Head,
): Promise<string> {
  const linked = linkAll(auditKeys, locked ?? (await lockHead(tx)), acts);
  await tx.commit(insertOf(linked, channel)).catch(notRecorded);
  return linked.links.at(-1)!.record.seq;
}

/** As {@link commitActs}, for a transaction that goes on: `manager` holds the head until its commit. */
export async function appendActs(
  tx: OpenTransaction,
  auditKeys: readonly VersionedKey[],
  acts: readonly Act[],
  channel: string | null,
): Promise<void> {
  const { text, values } = insertOf(linkAll(auditKeys, await lockHead(tx), acts), channel);
  await tx.manager.query(text, values).catch(notRecorded);
}

/** A replica that is paused while it holds the head stops the others for this many milliseconds. */
const HEAD_IDLE_MS = { least: 500, most: 2_000 } as const;
/** Round trips that the head may be held without a word: one is needed, and the network may be slow at times. */
const HEAD_IDLE_ROUND_TRIPS = 3;

/**
 * What follows finds its entries by `seq`, with one plan: left to itself, PostgreSQL plans it anew for each range while
 * the head is held.
 */
const LOCK_HEAD = `
  SELECT seq, audit_hash, audit_key_version, date_trunc('milliseconds', clock_timestamp()) AS at, ${KNOWS_NO_COMMITMENTS} AS is_plain,
         set_config('idle_in_transaction_session_timeout', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true),
         set_config('enable_seqscan', 'off', true)
    FROM change_head FOR UPDATE`;

/** Locks the end of the chain until the commit. Nothing else may be locked after it. @throws as {@link commitActs} */
export async function lockHead({ manager, roundTripMs }: OpenTransaction): Promise<Head> {
  const idleMs = Math.round(
    Math.min(HEAD_IDLE_MS.most, Math.max(HEAD_IDLE_MS.least, HEAD_IDLE_ROUND_TRIPS * roundTripMs)),
  );
  const [[head]] = (await inOneTrip(manager, [{ name: 'lock-head', text: LOCK_HEAD, values: [`${idleMs}ms`] }]).catch(
    notRecorded,
  )) as [[Head | undefined]];
  if (!head) throw new Error('The change head is missing: the schema is damaged.');
  return head;
}

/** The application may not update the head: a function of its owner moves it, to entries that are there. */
function insertOf({ links, values: personal }: Linked, channel: string | null): QueryConfig {
  const last = links.at(-1)!;
  // Nothing opens what is said of a person who is erased, in this transaction or before it.
  const opened =
    personal.length === 0
      ? ''
      : `, opened AS (
       INSERT INTO personal_value (commitment, user_id, salt, value)
       SELECT decode(p.commitment, 'hex'), p.user_id, p.salt, p.value::jsonb
         FROM unnest($5::text[], $6::uuid[], $7::bytea[], $8::text[]) AS p (commitment, user_id, salt, value)
        WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = p.user_id AND u.erased_at IS NOT NULL)
     )`;
  // Planned once a session: it is planned while the head is locked.
  return {
    name: personal.length === 0 ? 'append-entries' : 'append-entries-with-values',
    text: `WITH appended AS (
       INSERT INTO audit_event (seq, id, at, actor_kind, actor_id, actor_owner_id, action, resource_type,
                                resource_id, outcome, ip, request_id, changes, details, body, hash)
       SELECT (b->>'seq')::bigint, (b->>'id')::uuid, (b->>'at')::timestamptz, b->'actor'->>'kind', b->'actor'->>'id',
              (b->'actor'->>'ownerId')::uuid, b->>'action', b->>'resourceType', b->>'resourceId', b->>'outcome',
              b->>'ip', b->>'requestId', b->'changes', b->'details', body, hash
         FROM unnest($1::text[], $2::bytea[]) AS row (body, hash), LATERAL (SELECT body::jsonb AS b) AS parsed
       RETURNING seq
     )${opened}
     SELECT audit_move_head(max(seq), $3::bytea, $4::text) FROM appended`,
    values: [
      links.map((entry) => entry.body),
      links.map((entry) => entry.hash),
      last.hash,
      channel,
      ...(personal.length === 0
        ? []
        : [
            personal.map(({ commitment }) => commitment),
            personal.map(({ userId }) => userId),
            personal.map(({ salt }) => salt),
            personal.map(({ value }) => JSON.stringify(value)),
          ]),
    ],
  };
}

/** @throws DomainError 503 when this process lacks the version: an entry of another key would break the chain. */
export function signingKey(auditKeys: readonly VersionedKey[], headVersion: string | null): Buffer {
  const version = headVersion ?? PLAIN_VERSION;
  const found = auditKeys.find((key) => key.version === version);
  if (found === undefined) throw missingVersion('AUDIT_KEY', version);
  return found.key;
}

/** Entries ready to be stored, and what opens the commitments in them. */
interface Linked {
  readonly links: readonly AuditLink[];
  readonly values: readonly PersonalValue[];
}

/** Links `acts`, in order, to the chain that ends in `head`. */
function linkAll(auditKeys: readonly VersionedKey[], head: Head, acts: readonly Act[]): Linked {
  const auditKey = signingKey(auditKeys, head.audit_key_version);
  let previous = head.audit_hash;
  let seq = BigInt(head.seq);
  const values: PersonalValue[] = [];
  const links = acts.map((act) => {
    seq += 1n;
    const plain = recordOf(seq, head.at, act);
    const sealed = head.is_plain ? { record: plain, values: [] } : withCommitments(plain);
    values.push(...sealed.values);
    const next = link(auditKey, previous, sealed.record);
    previous = next.hash;
    return next;
  });
  return { links, values };
}

/** What the trail says of an act, as entry `seq`. @throws Error for an act without a name */
export function recordOf(seq: bigint, at: Date, { caller, entry }: Act): AuditRecord {
  const action = entry.action ?? caller.action;
  if (action === null) throw new Error('An act without a name: give the route an @Audited.');
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
    details: {
      ...entry.details,
      ...(caller.clientRequestId == null ? {} : { clientRequestId: caller.clientRequestId }),
    },
  };
}

function notRecorded(error: unknown): never {
  throw isTrailAway(error)
    ? unavailable('This could not be recorded in the audit trail, so it was not done.', error)
    : error;
}

/** Data that no row can hold (class 22) is a bug of ours and must look like one. */
function isTrailAway(error: unknown): boolean {
  return error instanceof QueryFailedError && !isRetriable(error) && !isConnectionLost(error) && !isUnfitData(error);
}
