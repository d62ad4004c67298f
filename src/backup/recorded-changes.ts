import type { EntityManager } from 'typeorm';
import type { FieldChange } from '../audit/audit-event.entity.js';
import type { Anchor } from '../audit/chain-check.js';
import type { RecordedChange } from '../audit/change-line.js';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';

/** Changes that one line carries. */
const MAX_CHANGES = 1_000;

/** Fields whose new value can take access away from a key, user, project or role; the others are not written down. */
const STATE_FIELDS: Readonly<Record<string, readonly string[]>> = {
  'api-key': ['isActive', 'expiresAt', 'maxExpiresAt', 'revokedAt'],
  user: ['isActive', 'roles'],
  project: ['isActive', 'adminIds', 'memberIds'],
  role: [],
};

/** Some changes of the trail, and the place up to which they are all there are. */
export interface RecordedChanges {
  readonly anchor: Anchor;
  readonly changes: readonly RecordedChange[];
  /** The version of AUDIT_KEY that signed there. */
  readonly signedBy: string;
  /** Whether `anchor` is the head. */
  readonly isAll: boolean;
}

interface ChangeRow {
  readonly seq: string;
  readonly at: string;
  readonly action: string;
  readonly resource_type: string;
  readonly resource_id: string | null;
  readonly changes: readonly FieldChange[];
  readonly details: Readonly<Record<string, unknown>>;
  readonly hash: string;
}

/** A version of AUDIT_KEY that is not the signing one any more, and its last entry. */
interface EndedVersion {
  readonly version: string;
  readonly seq: string;
}

/** The changes behind `afterSeq`, as many as a line carries, with the head at the same instant. */
export async function readChanges(manager: EntityManager, afterSeq: string): Promise<RecordedChanges> {
  const [row] = await manager.query<
    { seq: string; hash: string; at: Date; version: string; ended: EndedVersion[]; rows: ChangeRow[] | null }[]
  >(
    `SELECT h.seq, encode(h.audit_hash, 'hex') AS hash, clock_timestamp() AS at, coalesce(h.audit_key_version, $2) AS version,
            (SELECT coalesce(json_agg(json_build_object('version', k.from_version, 'seq', k.seq::text) ORDER BY k.seq), '[]') FROM audit_key_change k) AS ended,
            (SELECT json_agg(c ORDER BY c.seq::bigint) FROM (
               SELECT seq::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, action, resource_type, resource_id, changes, details,
                      encode(e.hash, 'hex') AS hash
                 FROM audit_event e
                WHERE e.seq > $1::bigint AND e.seq <= h.seq AND e.outcome = 'success' AND e.resource_type IN ('api-key', 'user', 'project', 'role')
                  AND e.action !~ '^(auth|sessions):' AND e.action !~ ':(read|explain|export|verify)$'
                ORDER BY e.seq LIMIT ${MAX_CHANGES}) AS c) AS rows
       FROM change_head h`,
    [afterSeq, PLAIN_VERSION],
  );
  const { seq, hash, at, version, ended, rows } = row!;
  const last = (rows ?? []).at(MAX_CHANGES - 1);
  const end = last ?? { seq, hash };
  return {
    anchor: { seq: end.seq, hash: Buffer.from(end.hash, 'hex'), at: at.toISOString() },
    changes: (rows ?? []).map(recorded),
    signedBy: ended.find((one) => BigInt(one.seq) >= BigInt(end.seq))?.version ?? version,
    isAll: last === undefined,
  };
}

function recorded({ seq, at, action, resource_type, resource_id, changes, details }: ChangeRow): RecordedChange {
  const state = Object.fromEntries(
    changes
      .filter(({ field }) => STATE_FIELDS[resource_type]?.includes(field))
      .map(({ field, after }) => [field, after]),
  );
  const ended = endedSecrets(details);
  return {
    seq,
    at,
    action,
    type: resource_type,
    id: resource_id,
    ...(Object.keys(state).length === 0 ? {} : { state }),
    ...(Object.keys(ended).length === 0 ? {} : { ended }),
  };
}

/** As the routes that end secrets write them into the trail: ended now, or at the end of an overlap. */
function endedSecrets({
  endedKids,
  bySecret,
  kid,
  previousKid,
  previousSecretExpiresAt,
}: Readonly<Record<string, unknown>>): Record<string, string | null> {
  const listed: unknown[] = Array.isArray(endedKids) ? endedKids : [];
  const now = [...listed, ...(bySecret === true ? [kid] : [])].filter((id) => typeof id === 'string');
  const later =
    typeof previousKid === 'string' && typeof previousSecretExpiresAt === 'string'
      ? { [previousKid]: previousSecretExpiresAt }
      : {};
  return { ...later, ...Object.fromEntries(now.map((id) => [id, null])) };
}
