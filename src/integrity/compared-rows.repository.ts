import { type EntityManager, getMetadataArgsStorage } from 'typeorm';
import { Role } from '../access/role.entity.js';
import { ApiKey } from '../api-keys/api-key.entity.js';
import { User } from '../users/user.entity.js';
import { ACCEPT_ACTION, type StoredEntry } from './told-state.js';

/** Rows of one statement. */
export const SLICE_ROWS = 250;

/** Kinds of things whose rows are compared, as the trail names them. */
export type ComparedType = 'role' | 'user' | 'api-key';

/** A row with the newest entry about each of its fields, of one snapshot. */
export interface ComparedRow {
  readonly id: string;
  readonly row: Readonly<Record<string, unknown>>;
  readonly entries: readonly StoredEntry[];
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

/** A slice of ids, and where the next one begins; null: there is none. */
export interface Slice<T> {
  readonly rows: readonly T[];
  readonly next: string | null;
}

const ENTRY = `json_build_object('seq', e.seq::text, 'body', e.body, 'hash', encode(e.hash, 'hex'), 'previous', encode(p.hash, 'hex'))`;

/** Of thing `id` of type `$3`: the newest entry about each field, and those that `more` names. */
const entriesOf = (id: string, more = 'false') => `
  (SELECT coalesce(json_agg(${ENTRY}), '[]') FROM (
      SELECT seq FROM (
        SELECT DISTINCT ON (c->>'field') a.seq FROM audit_event a, jsonb_array_elements(a.changes) AS c
         WHERE a.resource_type = $3 AND a.resource_id = ${id} AND a.outcome = 'success' ORDER BY c->>'field', a.seq DESC) AS newest
      UNION SELECT a.seq FROM audit_event a WHERE a.resource_type = $3 AND a.resource_id = ${id} AND a.outcome = 'success' AND (${more})
    ) AS named JOIN audit_event e USING (seq) LEFT JOIN audit_event p ON p.seq = e.seq - 1) AS entries`;

const LIVE_SECRETS = `
  SELECT s.kid, s.kind, encode(s.mac, 'hex') AS mac, encode(s.binding, 'hex') AS binding, s.pepper_version AS "pepperVersion", s.expires_at AS "expiresAt"
    FROM api_key_secret s
   WHERE s.key_id = k.id AND s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())`;

/** Rows in order of their ids, `$2` of them at most; `beyond` compares with `$1`. */
const statement = (type: ComparedType, beyond: '>' | '>='): string =>
  ({
    role: `SELECT r.*, r.name AS "comparedId", ${entriesOf('r.name')}
           FROM (SELECT * FROM role WHERE name ${beyond} $1 ORDER BY name LIMIT $2) AS r`,
    user: `SELECT u.*, u.id AS "comparedId", 
                ARRAY(SELECT role_name FROM user_role WHERE user_id = u.id) AS "roleNames",
                ARRAY(SELECT manager_id FROM user_manager WHERE user_id = u.id) AS "managers",
                ${entriesOf('u.id::text', `a.action IN ('users:create', '${ACCEPT_ACTION}')`)}
           FROM (SELECT * FROM users WHERE id ${beyond} $1 ORDER BY id LIMIT $2) AS u`,
    'api-key': `SELECT k.*, k.id AS "comparedId", live.secrets,
                ${entriesOf('k.id::text', `a.action = '${ACCEPT_ACTION}' OR a.details->>'kid' = ANY(live.kids) OR a.details->>'previousKid' = ANY(live.kids) OR a.details->'endedKids' ?| live.kids`)}
           FROM (SELECT * FROM api_key WHERE id ${beyond} $1 ORDER BY id LIMIT $2) AS k,
                LATERAL (SELECT coalesce(json_agg(l), '[]') AS secrets, coalesce(array_agg(l.kid), '{}') AS kids FROM (${LIVE_SECRETS}) AS l) AS live`,
  })[type];

/** No id is lower. */
const FIRST: Record<ComparedType, string> = {
  role: '',
  user: '00000000-0000-0000-0000-000000000000',
  'api-key': '00000000-0000-0000-0000-000000000000',
};

const ENTITIES: Record<ComparedType, typeof Role | typeof User | typeof ApiKey> = { role: Role, user: User, 'api-key': ApiKey };

/** A refusal may name anything. */
const AS_UUID = `CASE WHEN n.id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN n.id::uuid END`;

/** Ids that the trail names from `$1` on, found in the index a step each, and which of them have no row. */
const missingFrom = (table: string, id: string, value: string) => `
  WITH RECURSIVE named (id, place) AS (
    (SELECT resource_id, 1 FROM audit_event WHERE resource_type = $3 AND resource_id > $1 ORDER BY resource_id LIMIT 1)
    UNION ALL
    SELECT (SELECT a.resource_id FROM audit_event a WHERE a.resource_type = $3 AND a.resource_id > named.id ORDER BY a.resource_id LIMIT 1), place + 1
      FROM named WHERE named.id IS NOT NULL AND place < $2
  )
  SELECT n.id AS "comparedId", row.id IS NULL AS "isMissing",
         CASE WHEN row.id IS NULL THEN ${entriesOf('n.id').replace(/ AS entries$/, '')} END AS entries
    FROM named n LEFT JOIN LATERAL (SELECT ${id}::text AS id FROM ${table} WHERE ${id} = ${value}) AS row ON true
   WHERE n.id IS NOT NULL ORDER BY n.place`;

const MISSING: Record<ComparedType, string> = {
  role: missingFrom('role', 'name', 'n.id'),
  user: missingFrom('users', 'id', AS_UUID),
  'api-key': missingFrom('api_key', 'id', AS_UUID),
};

type Row = Record<string, unknown> & {
  readonly comparedId: string;
  readonly entries: readonly StoredEntry[] | null;
  readonly isMissing?: boolean;
};

/**
 * Reads rows together with what the trail says of them, a slice a statement. Row and entry commit together, and a
 * statement sees one snapshot: a row that is changed meanwhile never differs.
 */
export class ComparedRowsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The rows behind `after`; null: from the first on. */
  async findRows(type: ComparedType, after: string | null): Promise<Slice<ComparedRow>> {
    const rows = await this.manager.query<Row[]>(statement(type, after === null ? '>=' : '>'), [
      after ?? FIRST[type],
      SLICE_ROWS,
      type,
    ]);
    const columns = columnsOf(type);
    return {
      rows: rows.map((row) => ({ id: row.comparedId, row: { ...row, ...columns(row) }, entries: row.entries ?? [] })),
      next: rows.length < SLICE_ROWS ? null : rows.at(-1)!.comparedId,
    };
  }

  /** Things that the trail names and that have no row, of the ids behind `after`. */
  async findMissing(type: ComparedType, after: string | null): Promise<Slice<ComparedRow>> {
    const rows = await this.manager.query<Row[]>(MISSING[type], [after ?? '', SLICE_ROWS, type]);
    return {
      rows: rows
        .filter(({ isMissing }) => isMissing)
        .map(({ comparedId, entries }) => ({ id: comparedId, row: {}, entries: entries ?? [] })),
      next: rows.length < SLICE_ROWS ? null : rows.at(-1)!.comparedId,
    };
  }
}

/** The members of an entity, from a row as the driver gives it. The doctor's connection knows no entities. */
function columnsOf(type: ComparedType): (row: Row) => Record<string, unknown> {
  const members = getMetadataArgsStorage()
    .filterColumns(ENTITIES[type])
    .map(({ propertyName, options: { name = propertyName, transformer } }) => {
      const isOne = transformer !== undefined && !Array.isArray(transformer);
      return { name, propertyName, from: (value: unknown) => (isOne ? (transformer.from(value) as unknown) : value) };
    });
  return (row) => Object.fromEntries(members.map(({ name, propertyName, from }) => [propertyName, from(row[name])]));
}
