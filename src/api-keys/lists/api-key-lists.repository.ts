import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { centsFromMicroCents } from '../../common/money.js';
import { MAX_COUNTED_ROWS } from '../../common/page.js';
import { ApiKey } from '../api-key.entity.js';
import { type SqlCondition, companionsOf, keysWith, statusExpression } from './key-conditions.js';
import type { SqlOrder } from './key-sort.js';
import { selectByTerms } from './key-terms.js';

/** A stretch of a list, and how long the list is: `total` is exact up to `MAX_COUNTED_ROWS`. */
export interface Slice {
  readonly ids: readonly string[];
  readonly total: number;
  readonly totalIsCapped: boolean;
  /** Behind the last of `ids`; null where the list ends with it. */
  readonly next: Cursor | null;
}

/** A place in a list: behind the key of this id, which has this value in the order, as text of PostgreSQL. */
export interface Cursor {
  readonly value: string;
  readonly id: string;
}

/** Where a stretch begins: after so many keys, and behind one. */
interface Place {
  readonly offset: number;
  readonly behind: Cursor | null;
}

/** A key of a stretch, with its value in the order. */
interface Row {
  readonly id: string;
  readonly value: string;
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
 * Keys that are looked at, in an order, for a page of matches; if there are too few among them, all matches are sorted.
 */
const WALKED_ROWS = 50_000;
/** For pages far down more keys than that: so many for each match up to the page's end. */
const WALKED_ROWS_PER_MATCH = 12;

/**
 * Reads long lists of keys with bounded work: nothing counts or groups more than `MAX_COUNTED_ROWS` keys.
 */
@Injectable()
export class ApiKeyListsRepository {
  constructor(private readonly manager: EntityManager) {}

  /**
   * Keys `offset` to `offset + limit` of a list, and its length.
   *
   * @param maxWalked keys of the order that are looked at for a page of a long list, before all its keys are sorted
   */
  async slice(
    condition: SqlCondition,
    order: SqlOrder,
    limit: number,
    offset: number,
    maxWalked = Math.max(WALKED_ROWS, WALKED_ROWS_PER_MATCH * (offset + limit)),
  ): Promise<Slice> {
    return this.stretch(condition, order, limit, { offset, behind: null }, maxWalked);
  }

  /** The `limit` keys behind a place, and the length of the list. Keys that come or go elsewhere do not move it. */
  async sliceBehind(
    condition: SqlCondition,
    order: SqlOrder,
    limit: number,
    behind: Cursor,
    maxWalked = Math.max(WALKED_ROWS, WALKED_ROWS_PER_MATCH * limit),
  ): Promise<Slice> {
    return this.stretch(condition, order, limit, { offset: 0, behind }, maxWalked);
  }

  private async stretch(
    condition: SqlCondition,
    order: SqlOrder,
    limit: number,
    place: Place,
    maxWalked: number,
  ): Promise<Slice> {
    // One more than is asked for tells whether the list goes on.
    const short = await this.short(condition, order, limit + 1, place);
    const rows = short.rows ?? (await this.pageOfLong(condition, order, limit + 1, place, maxWalked));
    const kept = rows.slice(0, limit);
    return {
      ids: kept.map(({ id }) => id),
      total: short.total,
      totalIsCapped: short.rows === null,
      next: rows.length > limit ? kept.at(-1)! : null,
    };
  }

  /**
   * All keys of a list in its order, `size` ids at a time, at least one time. A short list is read at once; in a long
   * one each batch goes on behind the last key of the one before: keys that change their place meanwhile may be missed
   * or be given again.
   */
  async *walk(condition: SqlCondition, order: SqlOrder, size: number): AsyncGenerator<readonly string[]> {
    const { rows } = await this.short(condition, order, MAX_COUNTED_ROWS, { offset: 0, behind: null });
    if (rows !== null) {
      const ids = rows.map(({ id }) => id);
      yield ids.slice(0, size);
      for (let from = size; from < ids.length; from += size) yield ids.slice(from, from + size);
      return;
    }
    let cursor: Cursor | null = null;
    do {
      const batch: { ids: string[]; next: Cursor | null } = await this.after(condition, order, cursor, size);
      yield batch.ids;
      cursor = batch.next;
    } while (cursor !== null);
  }

  /** Keys that match, counted up to `MAX_COUNTED_ROWS` and one. */
  async count(condition: SqlCondition): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM (${someKeys(condition, 'k.id')}) AS one`,
      [...condition.parameters],
    );
    return row!.count;
  }

  /**
   * How the keys that match fall into groups at `now`; of a list longer than `MAX_COUNTED_ROWS`, its newest keys. With
   * `matching` only the owners, tags and scopes that contain it.
   */
  async groups(condition: SqlCondition, isLong: boolean, now: Date, matching?: string): Promise<Groups> {
    const at = condition.parameters.length;
    const select = `k.owner_id, k.environment, ${statusExpression(`$${at + 1}::timestamptz`)} AS status, k.tags, k.scopes`;
    const within = (text: string) =>
      matching === undefined ? '' : `WHERE strpos(lower(${text}), lower($${at + 2}::text)) > 0`;
    const [row] = await this.manager.query<Groups[]>(
      `WITH basis AS MATERIALIZED (${isLong ? newestKeys(condition, select) : someKeys(condition, select)})
       SELECT ${grouped('owners', `SELECT b.owner_id AS value, min(u.name) AS name, count(*) AS count FROM basis b JOIN users u ON u.id = b.owner_id ${within('u.name')} GROUP BY 1`)},
              ${grouped('status', 'SELECT status AS value, count(*) AS count FROM basis GROUP BY 1')},
              ${grouped('environment', 'SELECT environment AS value, count(*) AS count FROM basis GROUP BY 1')},
              ${grouped('tags', `SELECT value, count(*) AS count FROM basis, unnest(tags) AS value ${within('value')} GROUP BY 1`)},
              ${grouped('scopes', `SELECT value, count(*) AS count FROM basis, unnest(scopes) AS value ${within('value')} GROUP BY 1`)}`,
      [...condition.parameters, now, ...(matching === undefined ? [] : [matching])],
    );
    return row!;
  }

  /** The keys of these ids, in their order. Ids of keys that are gone are left out. */
  async findAll(ids: readonly string[]): Promise<ApiKey[]> {
    if (ids.length === 0) return [];
    const found = await this.manager.createQueryBuilder(ApiKey, 'k').where('k.id = ANY(:ids)', { ids }).getMany();
    const byId = new Map(found.map((key) => [key.id, key]));
    return ids.flatMap((id) => byId.get(id) ?? []);
  }

  /**
   * Cents that the budgets of these keys have spent in their period at `now`. A key without a budget is absent; a month
   * without an account is one without spending.
   */
  async budgetsSpent(ids: readonly string[], now: Date): Promise<Map<string, number>> {
    if (ids.length === 0) return new Map();
    const rows = await this.manager.query<{ id: string; spent: string | null }[]>(
      `SELECT k.id, b.spent_micro_cents AS spent
         FROM api_key k LEFT JOIN budget_account b
           ON b.key_id = k.id AND b.period = CASE k.budget_type WHEN 'monthly' THEN $2 ELSE 'total' END
        WHERE k.id = ANY($1::uuid[]) AND k.budget_limit_micro_cents IS NOT NULL`,
      [ids, `${now.toISOString().slice(0, 7)}-01`],
    );
    return new Map(rows.map(({ id, spent }) => [id, centsFromMicroCents(BigInt(spent ?? 0))]));
  }

  /** The ids of the caller's own service accounts: their keys count as the caller's. */
  async managedBy(userId: string): Promise<string[]> {
    const rows = await this.manager.query<{ user_id: string }[]>(
      'SELECT user_id FROM user_manager WHERE manager_id = $1 ORDER BY 1',
      [userId],
    );
    return rows.map((row) => row.user_id);
  }

  /**
   * A part of a list that is short enough to be counted: it is read whole and sorted, or else the planner can take an
   * index of the order, and walk it to its end in search of keys that are few or all at the far end. No rows: it is
   * longer.
   */
  private async short(
    condition: SqlCondition,
    order: SqlOrder,
    limit: number,
    { offset, behind }: Place,
  ): Promise<{ rows: Row[] | null; total: number }> {
    const at = condition.parameters.length;
    const isFoundOnce = condition.terms !== null || condition.companions.length > 0;
    const value = order.expressionOf('sort_column');
    const sorted = `ORDER BY value ${order.direction}, id ${order.direction}`;
    const [row] = await this.manager.query<{ matches: number; ids: string[] | null; values: string[] }[]>(
      `WITH ${isFoundOnce ? foundOnce(condition, order) : countedFirst(condition, order)},
            page AS MATERIALIZED (
              SELECT id, ${value} AS value FROM matching ${behind === null ? '' : `WHERE ${beyond(order, value, 'id', at + 3)}`}
              ${sorted} LIMIT $${at + 1}::int OFFSET $${at + 2}::int
            )
       SELECT matches, CASE WHEN matches <= ${MAX_COUNTED_ROWS} THEN ARRAY(SELECT id FROM page ${sorted}) END AS ids,
              CASE WHEN matches <= ${MAX_COUNTED_ROWS} THEN ARRAY(SELECT value::text FROM page ${sorted}) END AS values
         FROM counted`,
      [...condition.parameters, limit, offset, ...parametersOf(behind)],
    );
    const { matches, ids, values } = row!;
    return {
      rows: ids && ids.map((id, index) => ({ id, value: values[index]! })),
      total: Math.min(matches, MAX_COUNTED_ROWS),
    };
  }

  /** In a long list a walk along the order meets matches soon, unless they are at its far end. */
  private async pageOfLong(
    condition: SqlCondition,
    order: SqlOrder,
    limit: number,
    { offset, behind }: Place,
    maxWalked: number,
  ): Promise<Row[]> {
    const at = condition.parameters.length;
    const from = behind === null ? 'true' : beyond(order, order.expression, order.id, at + 3);
    const read = (rows: string) => {
      const page = `${rows} ORDER BY sort_value ${order.direction}, id ${order.direction} LIMIT $${at + 1}::int OFFSET $${at + 2}::int`;
      return this.manager.query<Row[]>(`SELECT id, sort_value::text AS value FROM (${page}) AS page`, [
        ...condition.parameters,
        limit,
        offset,
        ...parametersOf(behind),
      ]);
    };
    const select = `${order.id} AS id, ${order.expression} AS sort_value`;
    const where = `WHERE ${condition.sql} AND ${from}`;
    if (condition.terms === null) return read(`SELECT ${select} FROM ${keysWith(condition, order)} ${where}`);
    const rows = await read(alongOrder(condition, order, from, maxWalked));
    if (rows.length === limit) return rows;
    return read(selectByTerms(condition.terms, select, `${companionsOf(condition, order)} ${where}`));
  }

  /** The next keys of a list behind `cursor` (null: its first), with the cursor behind the last of them. */
  private async after(
    condition: SqlCondition,
    order: SqlOrder,
    cursor: Cursor | null,
    limit: number,
  ): Promise<{ ids: string[]; next: Cursor | null }> {
    const at = condition.parameters.length;
    const from = cursor === null ? '' : `AND ${beyond(order, order.expression, order.id, at + 2)}`;
    // As text: a Date would lose the microseconds, and with them keys.
    const rows = await this.manager.query<{ id: string; value: string }[]>(
      `SELECT k.id, (${order.expression})::text AS value FROM ${keysWith(condition, order)} WHERE ${condition.sql} ${from}
        ORDER BY ${order.expression} ${order.direction}, ${order.id} ${order.direction} LIMIT $${at + 1}::int`,
      [...condition.parameters, limit, ...parametersOf(cursor)],
    );
    const last = rows.at(-1);
    return {
      ids: rows.map((row) => row.id),
      next: rows.length < limit || last === undefined ? null : { value: last.value, id: last.id },
    };
  }
}

/** What lies behind a place, whose value and id are the parameters from `$first` on. */
function beyond({ direction, type }: SqlOrder, value: string, id: string, first: number): string {
  return `(${value}, ${id}) ${direction === 'ASC' ? '>' : '<'} ($${first}::${type}, $${first + 1}::uuid)`;
}

function parametersOf(cursor: Cursor | null): string[] {
  return cursor === null ? [] : [cursor.value, cursor.id];
}

/** Keys that match, in no order, and no more than tell that they are too many to be counted. */
function someKeys(condition: SqlCondition, select: string, order?: SqlOrder): string {
  const needed = order === undefined ? [condition] : [condition, order];
  const limit = `LIMIT ${MAX_COUNTED_ROWS + 1}`;
  if (condition.terms === null) return `SELECT ${select} FROM ${keysWith(...needed)} WHERE ${condition.sql} ${limit}`;
  return `${selectByTerms(condition.terms, select, `${companionsOf(...needed)} WHERE ${condition.sql} ${limit}`)} ${limit}`;
}

/** The newest keys that match, by their creation. */
function newestKeys(condition: SqlCondition, select: string): string {
  const limit = `LIMIT ${MAX_COUNTED_ROWS}`;
  if (condition.terms === null)
    return `SELECT ${select} FROM ${keysWith(condition)} WHERE ${condition.sql} ORDER BY k.created_at DESC, k.id DESC ${limit}`;
  return `${selectByTerms(condition.terms, select, `${companionsOf(condition)} WHERE ${condition.sql} ORDER BY k.ordinal DESC ${limit}`)} ${limit}`;
}

/** The keys that match among the first of an order, from a place on. */
function alongOrder(condition: SqlCondition, order: SqlOrder, from: string, maxWalked: number): string {
  const first = `SELECT k.*, ${order.expression} AS sort_value FROM ${keysWith(order)} WHERE ${from} ORDER BY ${order.expression} ${order.direction}, ${order.id} ${order.direction} LIMIT ${maxWalked}`;
  return `SELECT k.id, k.sort_value FROM (${first}) AS k ${companionsOf(condition)} WHERE ${condition.sql}`;
}

/**
 * Finding matches is the work, and each is looked at in its row anyway: it is done once, for count and page. What they
 * are sorted by is made only when they are few.
 */
function foundOnce(condition: SqlCondition, order: SqlOrder): string {
  return `matching AS MATERIALIZED (${someKeys(condition, `k.id, ${order.column} AS sort_column`, order)}),
    counted AS (SELECT count(*)::int AS matches FROM matching)`;
}

/** Counting needs no row where an index has all that the condition asks for; rows are read only if they are few. */
function countedFirst(condition: SqlCondition, order: SqlOrder): string {
  return `counted AS (
      SELECT count(*)::int AS matches FROM (SELECT FROM ${keysWith(condition)} WHERE ${condition.sql} LIMIT ${MAX_COUNTED_ROWS + 1}) AS one
    ), matching AS MATERIALIZED (SELECT k.id, ${order.column} AS sort_column FROM ${keysWith(condition, order)} WHERE ${condition.sql})`;
}

/** The largest groups as one JSON column, largest first; equal ones by value. */
function grouped(name: string, groups: string): string {
  return `(SELECT coalesce(json_agg(g ORDER BY g.count DESC, g.value::text COLLATE "C"), '[]')
             FROM (SELECT * FROM (${groups}) AS all_groups ORDER BY count DESC, value::text COLLATE "C" LIMIT ${MAX_GROUPS}) AS g) AS ${name}`;
}
