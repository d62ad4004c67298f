import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { type LimitMember, type LimitUnit, isSliding } from '../../packages/contract/src/limit.js';
import { IS_SLIDING, SPENT_OF_ACCOUNT, SPENT_OF_WINDOW, STATE_OF_WINDOW } from '../quotas/limits/account-amounts.js';
import {
  ACCOUNTS_OF_PAIRS,
  BINDS_KEY,
  type AccountOrder,
  type AccountPlace,
  type AccountRow,
  KEYS_OF,
  RUNNING_PERIOD,
  accountsOf,
  countOf,
  fullWith,
  nearlyUsed,
} from './account-sql.js';
import { type LimitAccount, accountFrom } from './limit-account.js';
import type { Override } from './limit-override.js';
import type { Limit } from './limit.entity.js';

/** What a limit concerns is counted up to so many keys, and summed up over so many rows of reports. */
const MAX_REACH = 100_000;

const ONE_LIMIT = 'SELECT * FROM quota_limit WHERE id = $1';

/** Which accounts of a limit. All that is given must hold. */
export interface AccountFilter {
  readonly member?: string | undefined;
  /** Percent. */
  readonly usedAbove?: number | undefined;
}

/** A limit of what reports tell of its period. */
export type ReportedLimit = Limit & { readonly unit: keyof typeof REPORTED };

/** Whether reports tell what is used of a limit in its period; they are summed up by hours. */
export function isReported(limit: Limit): limit is ReportedLimit {
  return limit.unit in REPORTED && !isSliding(limit.per);
}

const COUNTED_LIMITS = 'SELECT * FROM quota_limit WHERE ended_at IS NULL AND (amount > 0 OR each IS NOT NULL)';

/** How many accounts are nearly used up: those that all calls of a limit share, or those of members. */
export interface NearlyUsed {
  readonly unit: LimitUnit;
  /** Of limits by minute or hour. */
  readonly isSliding: boolean;
  readonly mode: Limit['mode'];
  readonly isShared: boolean;
  /** By percentage, in the order in which they were asked for. */
  readonly counts: readonly number[];
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

  /** The account of each limit of which most is used; a limit without accounts has none here. */
  async fullestOf(limitIds: readonly string[]): Promise<ReadonlyMap<string, LimitAccount>> {
    if (limitIds.length === 0) return new Map();
    const accounts = accountsOf('SELECT * FROM quota_limit WHERE id = ANY($1)', '-used', 1);
    const rows = await this.manager.query<AccountRow[]>(accounts, [limitIds]);
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
    sort: AccountOrder,
    { offset, size, behind }: { offset: number; size: number; behind: readonly string[] | null },
  ): Promise<LimitAccount[]> {
    if (filter.member !== undefined) return this.findTold(limitId, filter.member, filter.usedAbove ?? null);
    const values: unknown[] = [limitId];
    const usedAbove = percentIn(values, filter);
    const place = behind === null ? undefined : placeIn(values, behind);
    const text = accountsOf(ONE_LIMIT, sort, offset + size, { usedAbove, behind: place });
    const rows = await this.manager.query<AccountRow[]>(`${text} OFFSET ${offset}`, values);
    return rows.map(accountFrom);
  }

  /** The account of a member, where it has called in the period or has an override, and more than so much is used. */
  private async findTold(limitId: string, memberId: string, usedAbove: number | null): Promise<LimitAccount[]> {
    const rows = await this.manager.query<AccountRow[]>(
      `SELECT * FROM (${ACCOUNTS_OF_PAIRS}) AS account
        WHERE ($3::numeric IS NULL OR share > $3 * 1000000000000000000) AND (is_there OR EXISTS (
          SELECT FROM quota_limit_override o WHERE o.limit_id = account.limit_id AND o.member_id = account.member_id))`,
      [[limitId], [memberId], usedAbove],
    );
    return rows.map(accountFrom);
  }

  /** How many accounts a list has, counted up to one more than it shows. */
  async count(limitId: string, filter: AccountFilter): Promise<number> {
    if (filter.member !== undefined)
      return (await this.findTold(limitId, filter.member, filter.usedAbove ?? null)).length;
    const values: unknown[] = [limitId];
    const text = countOf(ONE_LIMIT, MAX_COUNTED_ROWS + 1, { usedAbove: percentIn(values, filter) });
    const [row] = await this.manager.query<{ count: string }[]>(text, values);
    return Math.min(Number(row?.count ?? 0), MAX_COUNTED_ROWS + 1);
  }

  /** How many accounts of a limit would be full with another amount; those with an override keep theirs. */
  async countFull(limitId: string, amount: bigint): Promise<number> {
    const [row] = await this.manager.query<{ count: string }[]>(
      `SELECT ${fullWith('$2::bigint')} AS count FROM quota_limit l CROSS JOIN LATERAL ${RUNNING_PERIOD} WHERE l.id = $1`,
      [limitId, amount.toString()],
    );
    return Number(row?.count ?? 0);
  }

  /**
   * How many accounts of limits that hold are used by at least the first, second… of these percentages, which rise. A
   * limit of 0 that all calls share is there to refuse them, and is at its end for good: it is not counted.
   */
  async countNearlyUsed(percents: readonly number[]): Promise<NearlyUsed[]> {
    const counts = percents.map(
      (_, index) => `count(*) FILTER (WHERE share >= $${index + 1}::numeric * 1000000000000000000)`,
    );
    return this.manager.query<NearlyUsed[]>(
      `SELECT unit, is_sliding AS "isSliding", mode, is_shared AS "isShared", ARRAY[${counts.join(', ')}]::float8[] AS counts
         FROM (${nearlyUsed(COUNTED_LIMITS, '$1::numeric')}) AS used GROUP BY 1, 2, 3, 4`,
      [...percents],
    );
  }

  /** What a limit has counted in the running period, over all accounts. */
  async spentOf(limitId: string): Promise<bigint> {
    const [row] = await this.manager.query<{ spent: string }[]>(
      `SELECT ((SELECT coalesce(sum(${SPENT_OF_ACCOUNT}), 0) FROM budget_account a
                 WHERE a.limit_id = l.id AND a.period = p.name)
             + (SELECT coalesce(sum(${SPENT_OF_WINDOW}), 0) FROM rate_window w CROSS JOIN LATERAL ${STATE_OF_WINDOW}
                 WHERE ${IS_SLIDING} AND w.limit_id = l.id))::text AS spent
         FROM quota_limit l CROSS JOIN LATERAL ${RUNNING_PERIOD} WHERE l.id = $1`,
      [limitId],
    );
    return BigInt(row?.spent ?? 0);
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

  /** Whether a limit binds a member: a key that is not revoked, an owner of one, or any subject. */
  async isMember(limit: Limit, memberId: string): Promise<boolean> {
    // Who its subjects are is known with their calls.
    if (limit.each === 'subject') return true;
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

  /** Keeps the text of a subject beside the account that it has, or will have, in a limit. */
  async nameSubject(limitId: string, memberId: string, subject: string): Promise<void> {
    await this.manager.query(
      `INSERT INTO limit_subject (account_id, limit_id, member_id, subject, period, seen_at)
       VALUES (limit_account_id($1, $2), $1, $2, $3, '', quota_clock())
       ON CONFLICT (account_id) DO UPDATE SET subject = excluded.subject`,
      [limitId, memberId, subject],
    );
  }

  /** Gives a limit the subjects of another that have an override in it. */
  async keepSubjects(from: string, to: string): Promise<void> {
    await this.manager.query(
      `INSERT INTO limit_subject (account_id, limit_id, member_id, subject, period, seen_at)
       SELECT limit_account_id($2, s.member_id), $2, s.member_id, s.subject, '', quota_clock()
         FROM limit_subject s JOIN quota_limit_override o ON o.limit_id = $2 AND o.member_id = s.member_id
        WHERE s.limit_id = $1`,
      [from, to],
    );
  }

  /** The overrides of a limit that are in force. */
  async overridesInForce(limitId: string): Promise<Override[]> {
    const rows = await this.manager.query<(Omit<Override, 'amount'> & { amount: string })[]>(
      `SELECT member_id AS "memberId", amount, until, reason FROM quota_limit_override
        WHERE limit_id = $1 AND (until IS NULL OR until > quota_clock()) ORDER BY member_id`,
      [limitId],
    );
    return rows.map((row) => ({ ...row, amount: BigInt(row.amount) }));
  }

  /** Gives a limit that has none these overrides. */
  async addOverrides(limitId: string, overrides: readonly Override[]): Promise<void> {
    if (overrides.length === 0) return;
    await this.manager.query(
      `INSERT INTO quota_limit_override (limit_id, member_id, amount, until, reason)
       SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::timestamptz[], $5::text[])`,
      [
        limitId,
        overrides.map(({ memberId }) => memberId),
        overrides.map(({ amount }) => amount.toString()),
        overrides.map(({ until }) => until),
        overrides.map(({ reason }) => reason),
      ],
    );
  }

  /** Takes the override of a member. */
  async deleteOverride(limitId: string, memberId: string): Promise<void> {
    await this.manager.query('DELETE FROM quota_limit_override WHERE limit_id = $1 AND member_id = $2', [
      limitId,
      memberId,
    ]);
  }

  /** Names of keys or owners, and texts of subjects, by their ids; what is gone or was erased has none. */
  async namesOf(kind: LimitMember, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.manager.query<{ id: string; name: string }[]>(NAMES[kind], [ids]);
    return new Map(rows.map(({ id, name }) => [id, name]));
  }
}

const NAMES: Readonly<Record<LimitMember, string>> = {
  key: 'SELECT id, name FROM api_key WHERE id = ANY($1)',
  owner: 'SELECT id, name FROM users WHERE id = ANY($1)',
  subject:
    'SELECT DISTINCT member_id AS id, subject AS name FROM limit_subject WHERE member_id = ANY($1) AND subject IS NOT NULL',
};

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

/** The place of a percentage among the values of a statement, which get it; undefined: none is asked for. */
function percentIn(values: unknown[], { usedAbove }: AccountFilter): string | undefined {
  return usedAbove === undefined ? undefined : `$${values.push(usedAbove)}::numeric`;
}

/** The same of the place of an account in an order: a share, what is spent and a member, or a member alone. */
function placeIn(values: unknown[], behind: readonly string[]): AccountPlace {
  const types = behind.length === 1 ? ['uuid'] : ['numeric', 'numeric', 'uuid'];
  return types.map((type, index) => `$${values.push(behind[index])}::${type}`) as unknown as AccountPlace;
}
