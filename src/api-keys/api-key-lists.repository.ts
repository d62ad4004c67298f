import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { ApiKey } from './api-key.entity.js';
import { type SqlCondition, keysWith, statusExpression } from './key-conditions.js';
import type { SqlOrder } from './key-sort.js';

/** A stretch of a list, and how long the list is: `total` is exact up to `MAX_COUNTED_ROWS`. */
export interface Slice {
  readonly ids: readonly string[];
  readonly total: number;
  readonly totalIsCapped: boolean;
}

/** Where a walk through a list stands: behind this key. */
export interface Cursor {
  readonly value: string;
  readonly id: string;
}

/** How many keys have one value. */
export interface Group {
  readonly value: string;
  readonly count: number;
}

/** The groups of a list, largest first; values that no key has are absent. */
export interface Groups {
  readonly owners: { value: string; name: string; count: number }[];
  readonly status: Group[];
  readonly environment: Group[];
  readonly tags: Group[];
  readonly scopes: Group[];
}

/** Groups of one kind that are told. */
const MAX_GROUPS = 20;

/**
 * Reads long lists of keys with bounded work: nothing counts, sorts or groups more than `MAX_COUNTED_ROWS` keys.
 */
@Injectable()
export class ApiKeyListsRepository {
  constructor(private readonly manager: EntityManager) {}

  /**
   * Keys `offset` to `offset + limit` of a list, and its length. What is short enough to be counted is read whole and
   * sorted here: the planner cannot take an index of the order, and walk it to its end in search of keys that are few or
   * all at the far end. In a longer list such a walk meets matches soon.
   */
  async slice(condition: SqlCondition, order: SqlOrder, limit: number, offset: number): Promise<Slice> {
    const at = condition.parameters.length;
    const [row] = await this.manager.query<{ matches: number; ids: string[] | null }[]>(
      `WITH ${condition.isSearch ? readOnce(condition, order) : countedFirst(condition, order)}
       SELECT matches,
              CASE WHEN matches <= ${MAX_COUNTED_ROWS} THEN ARRAY(
                SELECT id FROM matching ORDER BY sort_value ${order.direction}, id ${order.direction}
                 LIMIT $${at + 1}::int OFFSET $${at + 2}::int
              ) END AS ids
         FROM counted`,
      [...condition.parameters, limit, offset],
    );
    const { matches, ids } = row!;
    if (ids !== null) return { ids, total: matches, totalIsCapped: false };
    return { ids: await this.walk(condition, order, limit, offset), total: MAX_COUNTED_ROWS, totalIsCapped: true };
  }

  /** Keys that match, counted up to `MAX_COUNTED_ROWS` and one. */
  async count(condition: SqlCondition): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM (SELECT FROM ${keysWith(condition)} WHERE ${condition.sql} LIMIT ${MAX_COUNTED_ROWS + 1}) AS one`,
      [...condition.parameters],
    );
    return row!.count;
  }

  /**
   * How the keys that match fall into groups at `now`; of a list longer than `MAX_COUNTED_ROWS`, its newest keys.
   */
  async groups(condition: SqlCondition, isLong: boolean, now: Date): Promise<Groups> {
    const [row] = await this.manager.query<Groups[]>(
      `WITH basis AS MATERIALIZED (
         SELECT k.owner_id, k.environment, ${statusExpression(`$${condition.parameters.length + 1}::timestamptz`)} AS status, k.tags, k.scopes
           FROM ${keysWith(condition)} WHERE ${condition.sql}
          ${isLong ? `ORDER BY k.created_at DESC, k.id DESC LIMIT ${MAX_COUNTED_ROWS}` : ''}
       )
       SELECT ${grouped('owners', `SELECT b.owner_id AS value, min(u.name) AS name, count(*) AS count FROM basis b JOIN users u ON u.id = b.owner_id GROUP BY 1`)},
              ${grouped('status', 'SELECT status AS value, count(*) AS count FROM basis GROUP BY 1')},
              ${grouped('environment', 'SELECT environment AS value, count(*) AS count FROM basis GROUP BY 1')},
              ${grouped('tags', 'SELECT value, count(*) AS count FROM basis, unnest(tags) AS value GROUP BY 1')},
              ${grouped('scopes', 'SELECT value, count(*) AS count FROM basis, unnest(scopes) AS value GROUP BY 1')}`,
      [...condition.parameters, now],
    );
    return row!;
  }

  /** The next keys of a list behind `cursor` (null: its first), with the cursor behind the last of them. */
  async after(condition: SqlCondition, order: SqlOrder, cursor: Cursor | null, limit: number): Promise<{ ids: string[]; next: Cursor | null }> {
    const at = condition.parameters.length;
    const beyond = order.direction === 'ASC' ? '>' : '<';
    const from = cursor === null ? '' : `AND (${order.expression}, ${order.id}) ${beyond} ($${at + 2}::${order.type}, $${at + 3}::uuid)`;
    // As text: a Date would lose the microseconds, and with them keys.
    const rows = await this.manager.query<{ id: string; value: string }[]>(
      `SELECT k.id, (${order.expression})::text AS value FROM ${keysWith(condition, order)} WHERE ${condition.sql} ${from}
        ORDER BY ${order.expression} ${order.direction}, ${order.id} ${order.direction} LIMIT $${at + 1}::int`,
      [...condition.parameters, limit, ...(cursor === null ? [] : [cursor.value, cursor.id])],
    );
    const last = rows.at(-1);
    return {
      ids: rows.map((row) => row.id),
      next: rows.length < limit || last === undefined ? null : { value: last.value, id: last.id },
    };
  }

  /** The keys of these ids, in their order. Ids of keys that are gone are left out. */
  async findAll(ids: readonly string[]): Promise<ApiKey[]> {
    if (ids.length === 0) return [];
    const found = await this.manager.createQueryBuilder(ApiKey, 'k').where('k.id = ANY(:ids)', { ids }).getMany();
    const byId = new Map(found.map((key) => [key.id, key]));
    return ids.flatMap((id) => byId.get(id) ?? []);
  }

  /** The ids of the caller's own service accounts: their keys count as his. */
  async managedBy(userId: string): Promise<string[]> {
    const rows = await this.manager.query<{ user_id: string }[]>('SELECT user_id FROM user_manager WHERE manager_id = $1 ORDER BY 1', [userId]);
    return rows.map((row) => row.user_id);
  }

  private async walk(condition: SqlCondition, order: SqlOrder, limit: number, offset: number): Promise<string[]> {
    const at = condition.parameters.length;
    const rows = await this.manager.query<{ id: string }[]>(
      `SELECT k.id FROM ${keysWith(condition, order)} WHERE ${condition.sql}
        ORDER BY ${order.expression} ${order.direction}, ${order.id} ${order.direction} LIMIT $${at + 1}::int OFFSET $${at + 2}::int`,
      [...condition.parameters, limit, offset],
    );
    return rows.map((row) => row.id);
  }
}

/** Finding matches is the work, and each is looked at in its row anyway: it is done once, for count and page. */
function readOnce(condition: SqlCondition, order: SqlOrder): string {
  return `matching AS MATERIALIZED (
      SELECT k.id, ${order.expression} AS sort_value FROM ${keysWith(condition, order)} WHERE ${condition.sql} LIMIT ${MAX_COUNTED_ROWS + 1}
    ), counted AS (SELECT count(*)::int AS matches FROM matching)`;
}

/** Counting needs no row where an index has all that the condition asks for; rows are read only if they are few. */
function countedFirst(condition: SqlCondition, order: SqlOrder): string {
  return `counted AS (
      SELECT count(*)::int AS matches FROM (SELECT FROM ${keysWith(condition)} WHERE ${condition.sql} LIMIT ${MAX_COUNTED_ROWS + 1}) AS one
    ), matching AS MATERIALIZED (SELECT k.id, ${order.expression} AS sort_value FROM ${keysWith(condition, order)} WHERE ${condition.sql})`;
}

/** The largest groups as one JSON column, largest first; equal ones by value. */
function grouped(name: string, groups: string): string {
  return `(SELECT coalesce(json_agg(g ORDER BY g.count DESC, g.value::text COLLATE "C"), '[]')
             FROM (SELECT * FROM (${groups}) AS all_groups ORDER BY count DESC, value::text COLLATE "C" LIMIT ${MAX_GROUPS}) AS g) AS ${name}`;
}
