import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { ApiKey } from './api-key.entity.js';
import type { SqlCondition } from './key-conditions.js';
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

/** The groups of a list, largest first. */
export interface Groups {
  readonly owners: { value: string; name: string; count: number }[];
  readonly tags: { value: string; count: number }[];
  readonly scopes: { value: string; count: number }[];
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
   * Keys `offset` to `offset + limit` of a list, and its length. A list that is short enough to be counted is read
   * once, unordered, and sorted here: the planner cannot take an index of the order, and walk it to its end in search
   * of keys that are few or all at the far end. In a longer one, such a walk meets matches soon.
   */
  async slice(condition: SqlCondition, order: SqlOrder, limit: number, offset: number): Promise<Slice> {
    const at = condition.parameters.length;
    const [row] = await this.manager.query<{ matches: number; ids: string[] | null }[]>(
      `WITH matching AS MATERIALIZED (
         SELECT k.id, ${order.expression} AS sort_value FROM api_key k WHERE ${condition.sql} LIMIT ${MAX_COUNTED_ROWS + 1}
       ), counted AS (SELECT count(*)::int AS matches FROM matching)
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
      `SELECT count(*)::int AS count FROM (SELECT 1 FROM api_key k WHERE ${condition.sql} LIMIT ${MAX_COUNTED_ROWS + 1}) AS matching`,
      [...condition.parameters],
    );
    return row!.count;
  }

  /** The largest groups of keys that match; of a list longer than `MAX_COUNTED_ROWS`, among its newest ones. */
  async groups(condition: SqlCondition, isLong: boolean): Promise<Groups> {
    const [row] = await this.manager.query<Groups[]>(
      `WITH basis AS MATERIALIZED (
         SELECT k.owner_id, k.tags, k.scopes FROM api_key k WHERE ${condition.sql}
          ${isLong ? 'ORDER BY k.created_at DESC, k.id DESC' : ''} LIMIT ${MAX_COUNTED_ROWS}
       )
       SELECT (SELECT coalesce(json_agg(g ORDER BY g.count DESC, g.value), '[]')
                 FROM (SELECT b.owner_id AS value, min(u.name) AS name, count(*) AS count
                         FROM basis b JOIN users u ON u.id = b.owner_id
                        GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT ${MAX_GROUPS}) g) AS owners,
              ${mostFrequent('tags')}, ${mostFrequent('scopes')}`,
      [...condition.parameters],
    );
    return row!;
  }

  /** The next keys of a list behind `cursor` (null: its first), with the cursor behind the last of them. */
  async after(condition: SqlCondition, order: SqlOrder, cursor: Cursor | null, limit: number): Promise<{ ids: string[]; next: Cursor | null }> {
    const at = condition.parameters.length;
    const beyond = order.direction === 'ASC' ? '>' : '<';
    const from = cursor === null ? '' : `AND (${order.expression}, k.id) ${beyond} ($${at + 2}::${order.type}, $${at + 3}::uuid)`;
    // As text: a Date would lose the microseconds, and with them keys.
    const rows = await this.manager.query<{ id: string; value: string }[]>(
      `SELECT k.id, (${order.expression})::text AS value FROM api_key k WHERE ${condition.sql} ${from}
        ORDER BY ${order.expression} ${order.direction}, k.id ${order.direction} LIMIT $${at + 1}::int`,
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
      `SELECT k.id FROM api_key k WHERE ${condition.sql}
        ORDER BY ${order.expression} ${order.direction}, k.id ${order.direction} LIMIT $${at + 1}::int OFFSET $${at + 2}::int`,
      [...condition.parameters, limit, offset],
    );
    return rows.map((row) => row.id);
  }
}

function mostFrequent(column: 'tags' | 'scopes'): string {
  return `(SELECT coalesce(json_agg(g ORDER BY g.count DESC, g.value COLLATE "C"), '[]')
             FROM (SELECT entry AS value, count(*) AS count FROM basis, unnest(${column}) AS entry
                    GROUP BY 1 ORDER BY 2 DESC, entry COLLATE "C" LIMIT ${MAX_GROUPS}) g) AS ${column}`;
}
