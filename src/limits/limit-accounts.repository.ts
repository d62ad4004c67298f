import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { SPENT } from '../quotas/limits/account-amounts.js';
import {
  ACCOUNTS_OF_PAIRS,
  type AccountRow,
  BINDS_KEY,
  HAS_FEW_ACCOUNTS,
  KEYS_OF,
  RUNNING_PERIOD,
  accountsOf,
} from './account-sql.js';
import { type LimitAccount, accountFrom } from './limit-account.js';
import type { Override } from './limit-override.js';
import type { Limit } from './limit.entity.js';
import type { AccountSort } from './limits-query.dto.js';

/** What a limit concerns is counted up to so many keys, and summed up over so many rows of reports. */
const MAX_REACH = 100_000;

const ONE_LIMIT = 'SELECT * FROM quota_limit WHERE id = $1';

/** No member has this id; it stands for the account that all calls share in the order of members. */
const NO_MEMBER = '00000000-0000-0000-0000-000000000000';
const MEMBER = `coalesce(member_id, '${NO_MEMBER}')`;

/** Which accounts of a limit. All that is given must hold. */
export interface AccountFilter {
  readonly member?: string | undefined;
  /** Percent. */
  readonly usedAbove?: number | undefined;
}

/** A limit of a unit that reports tell. */
export type ReportedLimit = Limit & { readonly unit: keyof typeof REPORTED };

/** Whether reports tell what is used of a limit. */
export function isReported(limit: Limit): limit is ReportedLimit {
  return limit.unit in REPORTED;
}

/** How much a limit concerns. */
export interface LimitReach {
  readonly keys: number;
  readonly owners: number;
}

/** Accounts of limits, as of the running period. */
@Injectable()
export class LimitAccountsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): LimitAccountsRepository {
    return new LimitAccountsRepository(tx);
  }

  /**
   * The account of each limit of which most is used. All accounts of the period are looked at, because amounts of
   * members change without their accounts: a limit that has too many has none here.
   */
  async fullestOf(limitIds: readonly string[]): Promise<ReadonlyMap<string, LimitAccount>> {
    if (limitIds.length === 0) return new Map();
    const accounts = accountsOf(`SELECT * FROM quota_limit l WHERE id = ANY($1) AND ${HAS_FEW_ACCOUNTS}`);
    const rows = await this.manager.query<AccountRow[]>(
      `SELECT DISTINCT ON (limit_id) * FROM (${accounts}) AS account ORDER BY limit_id, used DESC, ${MEMBER}`,
      [limitIds],
    );
    return new Map(rows.map((row) => [row.limit_id, accountFrom(row)]));
  }

  /** The accounts of limits and members, each pair once. */
  async findPairs(pairs: readonly (readonly [limitId: string, memberId: string | null])[]): Promise<LimitAccount[]> {
    if (pairs.length === 0) return [];
    const values = [pairs.map(([limitId]) => limitId), pairs.map(([, memberId]) => memberId)];
    return (await this.manager.query<AccountRow[]>(ACCOUNTS_OF_PAIRS, values)).map(accountFrom);
  }

  /** Accounts of a limit, after so many, and behind this place where it is given. */
  async findPage(
    limitId: string,
    filter: AccountFilter,
    sort: AccountSort,
    { offset, size, behind }: { offset: number; size: number; behind: readonly string[] | null },
  ): Promise<LimitAccount[]> {
    const { text, values } = filtered(limitId, filter);
    const conditions = behind === null ? '' : `AND ${behindOf(sort, behind, values)}`;
    const order = sort === 'member' ? MEMBER : `used DESC, ${MEMBER}`;
    const rows = await this.manager.query<AccountRow[]>(
      `${text} ${conditions} ORDER BY ${order} OFFSET ${offset} LIMIT ${size}`,
      values,
    );
    return rows.map(accountFrom);
  }

  /** How many accounts a list has, counted up to one more than it shows. */
  async count(limitId: string, filter: AccountFilter): Promise<number> {
    const { text, values } = filtered(limitId, filter);
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM (${text} LIMIT ${MAX_COUNTED_ROWS + 1}) AS counted`,
      values,
    );
    return row!.count;
  }

  /**
   * How many accounts of a limit would be full with another amount; those with an override keep theirs. null: it has
   * too many accounts.
   */
  async countFull(limitId: string, amount: bigint): Promise<number | null> {
    const [row] = await this.manager.query<{ few: boolean; count: number }[]>(
      `SELECT ${HAS_FEW_ACCOUNTS} AS few, CASE WHEN ${HAS_FEW_ACCOUNTS} THEN (
         SELECT count(*)::int FROM (${accountsOf(ONE_LIMIT)}) AS account
          WHERE spent >= CASE WHEN override_amount IS NULL THEN $2::bigint ELSE amount END) END AS count
         FROM quota_limit l WHERE l.id = $1`,
      [limitId, amount.toString()],
    );
    return row?.count ?? null;
  }

  /** What a limit has counted in the running period, over all accounts; null: it has too many. */
  async spentOf(limitId: string): Promise<bigint | null> {
    const [row] = await this.manager.query<{ spent: string }[]>(
      `SELECT (SELECT coalesce(sum(${SPENT}), 0) FROM budget_account a
                WHERE a.limit_id = l.id AND a.period = p.name)::text AS spent
         FROM quota_limit l CROSS JOIN LATERAL ${RUNNING_PERIOD} WHERE l.id = $1 AND ${HAS_FEW_ACCOUNTS}`,
      [limitId],
    );
    return row === undefined ? null : BigInt(row.spent);
  }

  /** How many keys that are not revoked a limit binds, and of how many owners; null: too many. It may be no row. */
  async reachOf(limit: Limit): Promise<LimitReach | null> {
    const [row] = await this.manager.query<LimitReach[]>(
      `SELECT count(*)::int AS keys, count(DISTINCT owner_id)::int AS owners FROM (
         SELECT k.owner_id FROM (SELECT $1::text AS target_kind, $2::uuid AS target_id) AS l CROSS JOIN LATERAL ${KEYS_OF} AS k
          WHERE k.revoked_at IS NULL LIMIT ${MAX_REACH + 1}) AS reached`,
      [limit.targetKind, limit.targetId],
    );
    return row!.keys > MAX_REACH ? null : row!;
  }

  /**
   * What the keys of a limit have used of its unit in the running period, by whole hours; null: too much to sum up. It
   * need not be stored.
   */
  async usedSoFar({ unit, targetKind, targetId, per, timeZone, models }: ReportedLimit): Promise<bigint | null> {
    const values = [per, timeZone, models, ...(targetKind === 'installation' ? [] : [targetKind, targetId])];
    const rows = targetKind === 'installation' ? ROWS_OF_ALL : ROWS_OF_TARGET;
    const [row] = await this.manager.query<{ rows: number; used: string }[]>(usedOf(unit, rows), values);
    return row!.rows > MAX_REACH ? null : BigInt(row!.used);
  }

  /** Whether a limit binds a member: a key that is not revoked, or an owner of one. */
  async isMember(limit: Limit, memberId: string): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>(
      `SELECT FROM (SELECT $1::text AS target_kind, $2::uuid AS target_id) AS l CROSS JOIN LATERAL ${KEYS_OF} AS k
        WHERE k.revoked_at IS NULL AND ${limit.each === 'key' ? 'k.id' : 'k.owner_id'} = $3 LIMIT 1`,
      [limit.targetKind, limit.targetId, memberId],
    );
    return rows.length > 0;
  }

  /** The override of a member, ended or not, or null. */
  async findOverride(limitId: string, memberId: string): Promise<Override | null> {
    const [row] = await this.manager.query<{ amount: string; until: Date | null; reason: string }[]>(
      'SELECT amount, until, reason FROM quota_limit_override WHERE limit_id = $1 AND member_id = $2',
      [limitId, memberId],
    );
    return row === undefined ? null : { ...row, memberId, amount: BigInt(row.amount) };
  }

  /** Gives a member an override in place of the one it has. */
  async putOverride(limitId: string, { memberId, amount, until, reason }: Override): Promise<void> {
    await this.manager.query(
      `INSERT INTO quota_limit_override (limit_id, member_id, amount, until, reason) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (limit_id, member_id) DO UPDATE SET amount = excluded.amount, until = excluded.until, reason = excluded.reason`,
      [limitId, memberId, amount.toString(), until, reason],
    );
  }

  /** Gives a limit the overrides of another that are in force. */
  async keepOverrides(from: string, to: string): Promise<void> {
    await this.manager.query(
      `INSERT INTO quota_limit_override (limit_id, member_id, amount, until, reason)
       SELECT $2, member_id, amount, until, reason FROM quota_limit_override
        WHERE limit_id = $1 AND (until IS NULL OR until > quota_clock())`,
      [from, to],
    );
  }

  /** Takes the override of a member. */
  async deleteOverride(limitId: string, memberId: string): Promise<void> {
    await this.manager.query('DELETE FROM quota_limit_override WHERE limit_id = $1 AND member_id = $2', [
      limitId,
      memberId,
    ]);
  }

  /** Names of keys or owners by their ids; what is gone has none. */
  async namesOf(kind: 'key' | 'owner', ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.manager.query<{ id: string; name: string }[]>(
      `SELECT id, name FROM ${kind === 'key' ? 'api_key' : 'users'} WHERE id = ANY($1)`,
      [ids],
    );
    return new Map(rows.map(({ id, name }) => [id, name]));
  }
}

const USED = 'r.model, r.input_tokens, r.output_tokens, r.cost_micro_cents';

/** Rows of reports since an hour, of all keys: those of an hour, and what is not added to them yet (docs/adr/0053). */
const ROWS_OF_ALL = `
  SELECT ${USED} FROM usage_rollup_hour r WHERE r.hour >= since
  UNION ALL SELECT ${USED} FROM usage_pending_rows() r WHERE r.hour >= since`;

/** Of the keys of a target `$4`, `$5`. A key that has no row counts as one, so that so many keys are not looked up. */
const ROWS_OF_TARGET = `
  SELECT ${USED} FROM (SELECT $4::text AS target_kind, $5::uuid AS target_id) AS l
    CROSS JOIN LATERAL ${KEYS_OF} AS k LEFT JOIN usage_rollup_hour r ON r.key_id = k.id AND r.hour >= since
  UNION ALL
  SELECT ${USED} FROM (SELECT $4::text AS target_kind, $5::uuid AS target_id) AS l
    CROSS JOIN usage_pending_rows() r JOIN api_key k ON k.id = r.key_id WHERE r.hour >= since AND ${BINDS_KEY}`;

/** What reports tell of each unit. */
const REPORTED = { cents: 'f.cost_micro_cents', tokens: 'f.input_tokens + f.output_tokens' } as const;

/** What rows of reports have used in the running period, on models of a limit, and how many there are up to a bound. */
function usedOf(unit: keyof typeof REPORTED, rows: string): string {
  return `
    SELECT count(*)::int AS rows, (coalesce(sum(${REPORTED[unit]}) FILTER (
             WHERE $3::text[] = '{}' OR limit_matches($3::text[], nullif(f.model, ''))), 0))::text AS used
      FROM (SELECT date_trunc('hour', starts_at) AS since FROM limit_period_at(quota_clock(), $1, $2)) AS p
      CROSS JOIN LATERAL (${rows} LIMIT ${MAX_REACH + 1}) AS f`;
}

function filtered(limitId: string, { member, usedAbove }: AccountFilter): { text: string; values: unknown[] } {
  const values: unknown[] = [limitId];
  const conditions = ['true'];
  if (member !== undefined) conditions.push(`member_id = $${values.push(member)}`);
  if (usedAbove !== undefined) conditions.push(`used > $${values.push(usedAbove)}`);
  return { text: `SELECT * FROM (${accountsOf(ONE_LIMIT)}) AS account WHERE ${conditions.join(' AND ')}`, values };
}

/** The condition of the rows behind a place: a member, or a share and a member. Adds the values it names. */
function behindOf(sort: AccountSort, behind: readonly string[], values: unknown[]): string {
  const places = behind.map((value) => `$${values.push(value)}`);
  if (sort === 'member') return `${MEMBER} > ${places[0]}::uuid`;
  return `(-used, ${MEMBER}) > (-(${places[0]}::numeric), ${places[1]}::uuid)`;
}
