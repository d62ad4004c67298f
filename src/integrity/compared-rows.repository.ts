import { type EntityManager, getMetadataArgsStorage } from 'typeorm';
import { Role } from '../roles/role.entity.js';
import { ApiKey } from '../api-keys/api-key.entity.js';
import { Limit } from '../limits/limit.entity.js';
import { Project } from '../projects/project.entity.js';
import { User } from '../users/user.entity.js';
import { ACCEPT_ACTION, type StoredEntry } from './told-state.js';

/** Things of one statement: what it brings is read in one turn of the event loop. */
export const SLICE_ROWS = 100;
/** Newest entries of each thing in a slice. One thing may have millions: what is older is read a page a statement. */
const NEWEST_ENTRIES = 100;
/** Older entries of one thing that a statement reads. */
const OLDER_ENTRIES = 2_000;

/** Kinds of things whose rows are compared, as the trail names them. */
export type ComparedType = 'role' | 'user' | 'project' | 'limit' | 'api-key';

/** What a part of the trail says of one thing, from its newest entry on. */
export interface ReadTrail {
  /** The newest entry about each field, and those that tell of credentials. */
  readonly entries: readonly StoredEntry[];
  /** Fields that they tell of. */
  readonly fields: readonly string[];
  /** The newest entry that names the thing; null: there is none. */
  readonly newestSeq: string | null;
  /** The oldest entry that was read; null: there are none before it. */
  readonly before: string | null;
}

/** A row with what the trail says of it, of one snapshot. */
export interface ComparedRow {
  readonly id: string;
  readonly row: Readonly<Record<string, unknown>>;
  readonly trail: ReadTrail;
}

/** A secret that works, as far as the columns say. */
export interface LiveSecret {
  readonly kid: string;
  readonly kind: 'own' | 'imported';
  /** Hexadecimal. */
  readonly mac: string;
  readonly binding: string | null;
  readonly pepperVersion: string;
  readonly expiresAt: string | null;
}

/** Ids, and behind which the next ones begin; null: there are none. */
export interface Slice {
  readonly ids: readonly string[];
  readonly next: string | null;
}

/** Of an entry that was sealed and stayed, the hash before it is kept beside it. */
const ENTRY = `json_build_object('seq', e.seq::text, 'body', e.body, 'hash', encode(e.hash, 'hex'), 'previous', encode(coalesce(k.previous, p.hash), 'hex'))`;

/** Entries that count beside the newest about each field; of a key, those that name one of `kids`. */
const MORE: Record<ComparedType, (kids: string) => string> = {
  role: () => 'false',
  user: () => `a.action IN ('users:create', 'users:erase', '${ACCEPT_ACTION}')`,
  project: () => `a.action = '${ACCEPT_ACTION}'`,
  limit: () => `a.action = '${ACCEPT_ACTION}' OR a.details ? 'overrides'`,
  'api-key': (kids) =>
    `a.action = '${ACCEPT_ACTION}' OR a.details->>'kid' = ANY(${kids}) OR a.details->>'previousKid' = ANY(${kids}) OR a.details->'endedKids' ?| ${kids}`,
};

/** The row of `seq`, looked up for each: a plan without statistics would read the whole table to join it once. */
const byItself = (table: string, seq: string) => `(SELECT * FROM ${table} WHERE seq = ${seq} OFFSET 0)`;

/**
 * Reads no more than `limit` entries of thing `id` of type `$2`, whatever they are. What is no list of changes was not
 * written by Latchkey: it is taken along, so that it is found forged. The fields of an override are those of its
 * member.
 */
const trailOf = (id: string, more: string, limit: number, older = '', open = '') => `
  (WITH page AS MATERIALIZED (
     SELECT seq, action, outcome, changes, details FROM audit_event
      WHERE resource_type = $2 AND resource_id = ${id} ${older} ORDER BY seq DESC LIMIT ${limit}
   ), named AS (
     SELECT a.seq, concat_ws(' ', c->>'field', CASE WHEN $2 = 'limit' THEN a.details->>'memberId' END) AS field FROM page a, jsonb_array_elements(CASE jsonb_typeof(a.changes) WHEN 'array' THEN a.changes ELSE '[]' END) AS c
      WHERE a.outcome = 'success'
   ), newest AS (SELECT max(seq) AS seq, field FROM named ${open} GROUP BY field)
   SELECT json_build_object(
     'entries', (SELECT coalesce(json_agg(${ENTRY}), '[]') FROM (
                   SELECT seq FROM newest
                   UNION SELECT a.seq FROM page a WHERE a.outcome = 'success' AND (jsonb_typeof(a.changes) <> 'array' OR ${more})
                 ) AS counting CROSS JOIN LATERAL ${byItself('audit_event', 'counting.seq')} e
                 LEFT JOIN LATERAL ${byItself('audit_event', 'counting.seq - 1')} p ON true LEFT JOIN LATERAL ${byItself('audit_kept', 'counting.seq')} k ON true),
     'fields', (SELECT coalesce(json_agg(field), '[]') FROM newest WHERE field IS NOT NULL),
     'newestSeq', (SELECT max(seq)::text FROM page),
     'before', (SELECT CASE WHEN count(*) = ${limit} THEN min(seq)::text END FROM page))) AS trail`;

const LIVE_SECRETS = `
  SELECT s.kid, s.kind, encode(s.mac, 'hex') AS mac, encode(s.binding, 'hex') AS binding, s.pepper_version AS "pepperVersion", s.expires_at AS "expiresAt"
    FROM api_key_secret s
   WHERE s.key_id = k.id AND s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())`;

const ROWS: Record<ComparedType, string> = {
  role: `SELECT r.*, r.name AS "comparedId", ${trailOf('r.name', MORE.role(''), NEWEST_ENTRIES)}
           FROM role r WHERE r.name = ANY($1::text[])`,
  user: `SELECT u.*, u.id AS "comparedId",
                ARRAY(SELECT role_name FROM user_role WHERE user_id = u.id) AS "roleNames",
                ARRAY(SELECT manager_id FROM user_manager WHERE user_id = u.id) AS "managers",
                (SELECT json_agg(json_build_object('commitment', encode(v.commitment, 'hex'), 'salt', encode(v.salt, 'hex'), 'value', v.value))
                   FROM personal_value v WHERE v.user_id = u.id) AS "personal",
                ${trailOf('u.id::text', MORE.user(''), NEWEST_ENTRIES)}
           FROM users u WHERE u.id = ANY($1::uuid[])`,
  project: `SELECT j.*, j.id AS "comparedId",
                   (SELECT coalesce(json_agg(json_build_object('userId', m.user_id, 'role', m.role)), '[]') FROM project_member m WHERE m.project_id = j.id) AS "members",
                   ${trailOf('j.id::text', MORE.project(''), NEWEST_ENTRIES)}
              FROM project j WHERE j.id = ANY($1::uuid[])`,
  limit: `SELECT q.*, q.id AS "comparedId",
                 (SELECT coalesce(json_agg(json_build_object('memberId', o.member_id, 'amount', o.amount::text, 'until', o.until, 'reason', o.reason)), '[]')
                    FROM quota_limit_override o WHERE o.limit_id = q.id) AS "overrides",
                 ${trailOf('q.id::text', MORE.limit(''), NEWEST_ENTRIES)}
            FROM quota_limit q WHERE q.id = ANY($1::uuid[])`,
  'api-key': `SELECT k.*, k.id AS "comparedId", live.secrets, ${trailOf('k.id::text', MORE['api-key']('live.kids'), NEWEST_ENTRIES)}
           FROM api_key k,
                LATERAL (SELECT coalesce(json_agg(l), '[]') AS secrets, coalesce(array_agg(l.kid), '{}') AS kids FROM (${LIVE_SECRETS}) AS l) AS live
          WHERE k.id = ANY($1::uuid[])`,
};

/** No id is lower. */
const FIRST: Record<ComparedType, string> = {
  role: '',
  user: '00000000-0000-0000-0000-000000000000',
  project: '00000000-0000-0000-0000-000000000000',
  limit: '00000000-0000-0000-0000-000000000000',
  'api-key': '00000000-0000-0000-0000-000000000000',
};

const ENTITIES: Record<ComparedType, typeof Role | typeof User | typeof Project | typeof Limit | typeof ApiKey> = {
  role: Role,
  user: User,
  project: Project,
  limit: Limit,
  'api-key': ApiKey,
};

/** A refusal may name anything. */
const AS_UUID = `CASE WHEN n.id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN n.id::uuid END`;

/** Where rows are, and what their ids are called; `value` is `n.id` as one. */
const TABLES: Record<ComparedType, { readonly table: string; readonly id: string; readonly value: string }> = {
  role: { table: 'role', id: 'name', value: 'n.id' },
  user: { table: 'users', id: 'id', value: AS_UUID },
  project: { table: 'project', id: 'id', value: AS_UUID },
  limit: { table: 'quota_limit', id: 'id', value: AS_UUID },
  'api-key': { table: 'api_key', id: 'id', value: AS_UUID },
};

const hasNoRow = (type: ComparedType) =>
  `NOT EXISTS (SELECT FROM ${TABLES[type].table} WHERE ${TABLES[type].id} = ${TABLES[type].value})`;

/** Ids that the trail names behind `$1`, found in the index a step each, and which of them have no row. */
const namedBehind = (type: ComparedType) => `
  WITH RECURSIVE named (id, place) AS (
    (SELECT resource_id, 1 FROM audit_event WHERE resource_type = $3 AND resource_id > $1 ORDER BY resource_id LIMIT 1)
    UNION ALL
    SELECT (SELECT a.resource_id FROM audit_event a WHERE a.resource_type = $3 AND a.resource_id > named.id ORDER BY a.resource_id LIMIT 1), place + 1
      FROM named WHERE named.id IS NOT NULL AND place < $2
  )
  SELECT n.id, ${hasNoRow(type)} AS "isMissing" FROM named n WHERE n.id IS NOT NULL ORDER BY n.place`;

type Row = Record<string, unknown> & { readonly comparedId: string; readonly trail: ReadTrail };

/**
 * Reads rows together with what the trail says of them, a slice a statement. Row and entry commit together, and a
 * statement sees one snapshot: a row that is changed meanwhile never differs. Older entries never change.
 */
export class ComparedRowsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** Ids of rows behind `after`; null: from the first on. */
  async findIds(type: ComparedType, after: string | null): Promise<Slice> {
    const { table, id } = TABLES[type];
    const rows = await this.manager.query<{ id: string }[]>(
      `SELECT ${id} AS id FROM ${table} WHERE ${id} ${after === null ? '>=' : '>'} $1 ORDER BY ${id} LIMIT $2`,
      [after ?? FIRST[type], SLICE_ROWS],
    );
    return sliceOf(rows, rows);
  }

  /** Ids behind `after` that the trail names and that have no row. */
  async findMissingIds(type: ComparedType, after: string | null): Promise<Slice> {
    const rows = await this.manager.query<{ id: string; isMissing: boolean }[]>(namedBehind(type), [
      after ?? '',
      SLICE_ROWS,
      type,
    ]);
    return sliceOf(
      rows,
      rows.filter(({ isMissing }) => isMissing),
    );
  }

  /** Those of the rows that are there. */
  async findRows(type: ComparedType, ids: readonly string[]): Promise<ComparedRow[]> {
    const rows = await this.manager.query<Row[]>(ROWS[type], [ids, type]);
    const columns = columnsOf(type);
    // Into the row itself: a copy of so many members takes longer than the rest of a comparison.
    return rows.map((row) => ({ id: row.comparedId, row: Object.assign(row, columns(row)), trail: row.trail }));
  }

  /** Those of the things that have no row. */
  async findMissing(type: ComparedType, ids: readonly string[]): Promise<ComparedRow[]> {
    const rows = await this.manager.query<Row[]>(
      `SELECT n.id AS "comparedId", ${trailOf('n.id', 'false', NEWEST_ENTRIES)} FROM unnest($1::text[]) AS n (id) WHERE ${hasNoRow(type)}`,
      [ids, type],
    );
    return rows.map(({ comparedId, trail }) => ({ id: comparedId, row: {}, trail }));
  }

  /** What the entries before those of `trail` say, a page of them, and all that was read by then. */
  async readOn(type: ComparedType, { id, row, trail }: ComparedRow): Promise<ComparedRow> {
    const secrets = (row['secrets'] ?? []) as readonly LiveSecret[];
    const values = [id, type, trail.before, trail.fields, secrets.map(({ kid }) => kid)];
    const [read] = await this.manager.query<{ trail: ReadTrail }[]>(
      `SELECT ${OLDER[type]} FROM (SELECT $5::text[] AS kids) AS live`,
      values,
    );
    const { entries, fields, before } = read!.trail;
    return {
      id,
      row,
      trail: { ...trail, before, entries: [...trail.entries, ...entries], fields: [...trail.fields, ...fields] },
    };
  }
}

const older = (type: ComparedType) =>
  trailOf('$1', MORE[type]('live.kids'), OLDER_ENTRIES, 'AND seq < $3::bigint', 'WHERE NOT field = ANY($4::text[])');

const OLDER: Record<ComparedType, string> = {
  role: older('role'),
  user: older('user'),
  project: older('project'),
  limit: older('limit'),
  'api-key': older('api-key'),
};

function sliceOf(read: readonly { id: string }[], found: readonly { id: string }[]): Slice {
  return { ids: found.map(({ id }) => id), next: read.length < SLICE_ROWS ? null : read.at(-1)!.id };
}

/** The members of an entity, from a row as the driver gives it. The doctor's connection knows no entities. */
function columnsOf(type: ComparedType): (row: Record<string, unknown>) => Record<string, unknown> {
  const members = getMetadataArgsStorage()
    .filterColumns(ENTITIES[type])
    .map(({ propertyName, options: { name = propertyName, transformer } }) => {
      const isOne = transformer !== undefined && !Array.isArray(transformer);
      return { name, propertyName, from: (value: unknown) => (isOne ? (transformer.from(value) as unknown) : value) };
    });
  return (row) => {
    const values: Record<string, unknown> = {};
    for (const { name, propertyName, from } of members) values[propertyName] = from(row[name]);
    return values;
  };
}
