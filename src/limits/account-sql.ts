import type { LimitUnit } from '../../packages/contract/src/limit.js';
import {
  ENDS_AT,
  HELD,
  IS_SLIDING,
  MOST_OF_WINDOW,
  SPENT,
  SPENT_OF_ACCOUNT,
  SPENT_OF_WINDOW,
  STARTS_AT,
  STATE_OF_WINDOW,
  WINDOW_STATE,
} from '../quotas/limits/account-amounts.js';

/**
 * Accounts of limits as SQL. An account is that of a limit `l`, or that of one of its members; its row is made with the
 * first call, and one that has no row is empty.
 */

/** Whether a limit `l` binds the calls of a key `k`, of whatever models. */
export const BINDS_KEY = `
  (l.target_kind = 'installation' OR l.target_kind = 'key' AND l.target_id = k.id
    OR l.target_kind = 'owner' AND l.target_id = k.owner_id OR l.target_kind = 'project' AND l.target_id = k.project_id)`;

/** Keys `k` that a limit `l` binds: a branch for each kind of target, so that each has its index. */
export const KEYS_OF = `
  (SELECT k.id, k.owner_id, k.revoked_at FROM api_key k WHERE l.target_kind = 'key' AND k.id = l.target_id
   UNION ALL
   SELECT k.id, k.owner_id, k.revoked_at FROM api_key k WHERE l.target_kind = 'owner' AND k.owner_id = l.target_id
   UNION ALL
   SELECT k.id, k.owner_id, k.revoked_at FROM api_key k WHERE l.target_kind = 'project' AND k.project_id = l.target_id
   UNION ALL
   SELECT k.id, k.owner_id, k.revoked_at FROM api_key k WHERE l.target_kind = 'installation')`;

/** The running period `p` of a limit `l`. Calls in flight have one account for good. */
export const RUNNING_PERIOD = `limit_period_at(quota_clock(), coalesce(l.per, 'total'), l.time_zone) AS p`;

/** Whether an override `o` of a limit `l` is in force. */
const IN_FORCE = `o.limit_id = l.id AND (o.until IS NULL OR o.until > quota_clock())`;

/** The override `o` in force, and the account's row `a` or window `s`, of a member `m` of a limit `l`. */
const STATE = `
  LEFT JOIN quota_limit_override o ON o.member_id = m.id AND ${IN_FORCE}
  LEFT JOIN budget_account a ON a.key_id = limit_account_id_2(l.id, m.id) AND a.period = p.name ${WINDOW_STATE}`;

const AMOUNT = 'coalesce(o.amount, l.amount)';
/** Percent; nothing fits into an amount of 0. */
const USED = `CASE ${AMOUNT} WHEN 0 THEN 100 ELSE (${SPENT}) * 100.0 / ${AMOUNT} END`;
/**
 * The share of an amount that is used, so fine that of one amount no two numbers have the same. 100 percent are 10^20.
 */
const shareOf = (amount: string, spent: string = SPENT) =>
  `CASE ${amount} WHEN 0 THEN 100000000000000000000 ELSE div((${spent}) * 100000000000000000000::numeric, ${amount}) END`;

/** Columns of an account. `held`: reserved, or set aside by a replica for its next calls. */
const COLUMNS = `
  l.id AS limit_id, l.unit, m.id AS member_id, ${AMOUNT} AS amount, ${SPENT} AS spent, ${HELD} AS held,
  round(${USED}, 6) AS used, ${STARTS_AT} AS starts_at, ${ENDS_AT} AS ends_at,
  o.amount AS override_amount, o.until AS override_until, o.reason AS override_reason, ${shareOf(AMOUNT)} AS share,
  (a.key_id IS NOT NULL OR w.key_id IS NOT NULL) AS is_there`;

/** An account as `COLUMNS` give it; amounts are micro-cents, or whole numbers of another unit. */
export interface AccountRow {
  readonly limit_id: string;
  readonly unit: LimitUnit;
  readonly member_id: string | null;
  readonly amount: string;
  readonly spent: string;
  readonly held: string;
  /** Percent of the amount that is spent, as text with 6 decimals. */
  readonly used: string;
  readonly starts_at: Date | null;
  readonly ends_at: Date | null;
  readonly override_amount: string | null;
  readonly override_until: Date | null;
  readonly override_reason: string | null;
  /** What accounts are ordered by. */
  readonly share: string;
}

/** The accounts of pairs of a limit and a member in the arrays `$1` and `$2`. */
export const ACCOUNTS_OF_PAIRS = `
  SELECT ${COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS m (limit_id, id) JOIN quota_limit l ON l.id = m.limit_id
    CROSS JOIN LATERAL ${RUNNING_PERIOD} ${STATE}`;

/** No member has this id; it stands for the account that all calls share in the order of members. */
export const NO_MEMBER = '00000000-0000-0000-0000-000000000000';
const memberOf = (member: string) => `coalesce(${member}, '${NO_MEMBER}')`;

/** Orders of accounts of members `m`: by the share that is used, or by member. */
const ORDERS = {
  '-used': `share DESC, spent DESC, ${memberOf('m.id')}`,
  member: memberOf('m.id'),
} as const;
export type AccountOrder = keyof typeof ORDERS;

/** The place of an account in an order: its share, what is spent and its member, or its member alone. SQL. */
export type AccountPlace = readonly [share: string, spent: string, member: string] | readonly [member: string];

/** Which accounts are asked for, by names of values; absent: any. */
export interface AskedAccounts {
  /** The first ones behind this place. */
  readonly behind?: AccountPlace | undefined;
  /** Those of which more than so many percent are used. */
  readonly usedAbove?: string | undefined;
}

function isBehind(place: AccountPlace, [share, spent, member]: readonly [string, string, string]): string {
  if (place.length === 1) return `${memberOf(member)} > ${place[0]}`;
  return `(${share} < ${place[0]} OR ${share} = ${place[0]} AND (${spent} < ${place[1]} OR ${spent} = ${place[1]} AND ${memberOf(member)} > ${place[2]}))`;
}

/** Whether more than so many percent of an amount are used. */
const isAbove = (amount: string, percent: string, spent: string = SPENT) =>
  `${shareOf(amount, spent)} > ${percent} * 1000000000000000000`;

/** The most that an account may have used. */
const MOST = '9000000000000000000';
const stepOf = (numerator: string, denominator: string) =>
  `limit_used_step(least(${numerator} / ${denominator}, ${MOST})::bigint)`;

/**
 * Conditions on the accounts `a` of members of a limit `l` that have its own amount. What is asked by step is asked
 * exactly besides: a step has accounts that have used more, and less.
 */
function conditionsOf({ behind, usedAbove }: AskedAccounts): string {
  const conditions = [hasOwnAmount('a')];
  if (usedAbove !== undefined) {
    const least = `CASE l.amount WHEN 0 THEN 0 ELSE ${stepOf(`floor(${usedAbove} * l.amount::numeric)`, '100')} END`;
    conditions.push(`a.used_step >= ${least}`, isAbove('l.amount', usedAbove, SPENT_OF_ACCOUNT));
  }
  if (behind !== undefined) {
    conditions.push(isBehind(behind, [shareOf('l.amount', SPENT_OF_ACCOUNT), SPENT_OF_ACCOUNT, 'a.member_id']));
    if (behind.length === 3) {
      const most = stepOf(`ceil((${behind[0]} + 1) * l.amount)`, '100000000000000000000');
      conditions.push(`a.used_step <= CASE l.amount WHEN 0 THEN 32767 ELSE ${most} END`);
    }
  }
  return conditions.join(' AND ');
}

/**
 * The same of windows `w`, which have no steps: all of a limit are looked at. Most are passed over by a bound of what
 * is used, because it takes much longer to say how much is.
 */
function windowConditionsOf({ behind, usedAbove }: AskedAccounts): string {
  const spent = SPENT_OF_WINDOW;
  const conditions = [IS_WINDOW_OF_MEMBER, hasOwnAmount('w')];
  if (usedAbove !== undefined)
    conditions.push(isAbove('l.amount', usedAbove, MOST_OF_WINDOW), isAbove('l.amount', usedAbove, spent));
  if (behind?.length === 1) conditions.push(`w.member_id > ${behind[0]}`);
  if (behind?.length === 3) conditions.push(isBehind(behind, [shareOf('l.amount', spent), spent, 'w.member_id']));
  return conditions.join(' AND ');
}

/** Windows `w` with their states `s`, where one is asked for that depends on it. */
function windowsFor(asksState: boolean): string {
  return asksState ? `rate_window w CROSS JOIN LATERAL ${STATE_OF_WINDOW}` : 'rate_window w';
}

/**
 * So many members of a limit `l` whose windows are first in the order of what is used, of those that are asked for. No
 * window has used more than its bound, and as many as are asked for have used at least `least`: those with a smaller
 * bound are not among them. Where very many have a bound that has left them since, their states are made for nothing.
 */
function fullestWindows(most: number, asked: AskedAccounts): string {
  const conditions = windowConditionsOf(asked);
  const { behind } = asked;
  // Those before the place are not asked for, and a window with a bound behind it is.
  const likely = behind?.length === 3 ? `(${shareOf('l.amount', MOST_OF_WINDOW)} < ${behind[0]}) DESC, ` : '';
  // Of so many, as many as are asked for have no override.
  const looked = `${most} + (SELECT count(*) FROM quota_limit_override o WHERE ${IN_FORCE})`;
  const least = `(SELECT min(first.used) FROM (
      SELECT ${SPENT_OF_WINDOW} AS used FROM (
        SELECT w.* FROM rate_window w WHERE ${IS_WINDOW_OF_MEMBER} ORDER BY ${likely}${MOST_OF_WINDOW} DESC LIMIT ${looked}) AS w
        CROSS JOIN LATERAL ${STATE_OF_WINDOW} WHERE ${conditions} ORDER BY 1 DESC LIMIT ${most}) AS first HAVING count(*) = ${most})`;
  return `
    SELECT w.member_id FROM ${windowsFor(true)} WHERE ${MOST_OF_WINDOW} >= coalesce(${least}, 0) AND ${conditions}
     ORDER BY ${SPENT_OF_WINDOW} DESC, w.member_id LIMIT ${most}`;
}

/** The same in the order of members. */
function windowsByMember(most: number, asked: AskedAccounts): string {
  return `
    SELECT w.member_id FROM ${windowsFor(asked.usedAbove !== undefined)} WHERE ${windowConditionsOf(asked)}
     ORDER BY w.member_id LIMIT ${most}`;
}

/** Whether the member of a row has no override in force. */
function hasOwnAmount(row: 'a' | 'w'): string {
  return `(SELECT true FROM quota_limit_override o WHERE o.member_id = ${row}.member_id AND ${IN_FORCE}) IS NULL`;
}

const OF_LIMIT = `a.limit_id = l.id AND a.period = p.name`;
/** Whether a window `w` is that of a member of a limit `l`. */
const IS_WINDOW_OF_MEMBER = `${IS_SLIDING} AND w.limit_id = l.id AND w.member_id IS NOT NULL`;

/** Members of a limit `l` that have an override in force, or one that has ended and no account in the period `p`. */
const WITH_OVERRIDE = `
  quota_limit_override o WHERE l.each IS NOT NULL AND o.limit_id = l.id AND (o.until IS NULL OR o.until > quota_clock() OR NOT EXISTS (
    SELECT FROM budget_account a WHERE a.key_id = limit_account_id_2(l.id, o.member_id) AND a.period = p.name) AND NOT EXISTS (
    SELECT FROM rate_window w WHERE ${IS_SLIDING} AND w.key_id = limit_account_id_2(l.id, o.member_id)))`;

/**
 * Members `m` of a limit `l` whose accounts are told of: those that have called in the period `p` or have a window, and
 * those with an override; of a limit that all calls share, null. Of those with the limit's own amount no more than
 * `most`, the first in the order: of one amount they have the order of what is spent, which an index has by steps. All
 * with an override are given, also those that were not asked for.
 */
function toldMembers(sort: AccountOrder, most: number, asked: AskedAccounts): string {
  const order = sort === 'member' ? 'a.member_id' : `a.used_step DESC, ${SPENT_OF_ACCOUNT} DESC, a.member_id`;
  const windows = sort === 'member' ? windowsByMember(most, asked) : fullestWindows(most, asked);
  return `
  (SELECT NULL::uuid AS id WHERE l.each IS NULL
   UNION ALL
   (SELECT a.member_id FROM budget_account a
     WHERE ${OF_LIMIT} AND a.member_id IS NOT NULL AND ${conditionsOf(asked)} ORDER BY ${order} LIMIT ${most})
   UNION ALL
   (${windows})
   UNION ALL
   SELECT o.member_id FROM ${WITH_OVERRIDE}) AS m`;
}

/** The first accounts of each of the limits `l` that `limits` selects; `most` of each at the most. */
export function accountsOf(limits: string, sort: AccountOrder, most: number, asked: AskedAccounts = {}): string {
  const { behind, usedAbove } = asked;
  const conditions = [
    ...(usedAbove === undefined ? [] : [isAbove(AMOUNT, usedAbove)]),
    ...(behind === undefined ? [] : [isBehind(behind, [shareOf(AMOUNT), SPENT, 'm.id'])]),
  ];
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  return `
    SELECT account.* FROM (${limits}) AS l CROSS JOIN LATERAL ${RUNNING_PERIOD} CROSS JOIN LATERAL (
      SELECT ${COLUMNS} FROM ${toldMembers(sort, most, asked)} ${STATE} ${where}
       ORDER BY ${ORDERS[sort]} LIMIT ${most}) AS account`;
}

/** How many accounts the limits `l` that `limits` selects have, counted up to `most` and those with an override. */
export function countOf(limits: string, most: number, { usedAbove }: Pick<AskedAccounts, 'usedAbove'>): string {
  const isAsked = usedAbove === undefined ? 'true' : isAbove(AMOUNT, usedAbove);
  return `
    SELECT (SELECT count(*) FROM (
        SELECT FROM budget_account a WHERE ${OF_LIMIT} AND a.member_id IS NOT NULL AND ${conditionsOf({ usedAbove })} LIMIT ${most}) AS own)
      + (SELECT count(*) FROM (
        SELECT FROM ${windowsFor(usedAbove !== undefined)} WHERE ${windowConditionsOf({ usedAbove })} LIMIT ${most}) AS sliding)
      + (SELECT count(*) FROM (SELECT NULL::uuid AS id WHERE l.each IS NULL UNION ALL SELECT o.member_id FROM ${WITH_OVERRIDE}) AS m
           ${STATE} WHERE ${isAsked})
      AS count FROM (${limits}) AS l CROSS JOIN LATERAL ${RUNNING_PERIOD}`;
}

/**
 * The accounts of the limits `l` that `limits` selects of which at least so many percent are used: a row for each. Of
 * members with the limit's own amount an index has them by steps; windows, and members with an override, are looked at
 * one by one.
 */
export function nearlyUsed(limits: string, percent: string): string {
  const least = `CASE l.amount WHEN 0 THEN 0 ELSE ${stepOf(`floor(${percent} * l.amount::numeric)`, '100')} END`;
  return `
    SELECT l.unit, ${IS_SLIDING} AS is_sliding, l.mode, account.is_shared, account.share FROM (${limits}) AS l CROSS JOIN LATERAL ${RUNNING_PERIOD} CROSS JOIN LATERAL (
      SELECT false AS is_shared, ${shareOf('l.amount', SPENT_OF_ACCOUNT)} AS share FROM budget_account a
       WHERE ${OF_LIMIT} AND a.member_id IS NOT NULL AND a.used_step >= ${least} AND ${hasOwnAmount('a')}
      UNION ALL
      SELECT false, ${shareOf('l.amount', SPENT_OF_WINDOW)} FROM ${windowsFor(true)}
       WHERE ${IS_WINDOW_OF_MEMBER} AND ${shareOf('l.amount', MOST_OF_WINDOW)} >= ${percent} * 1000000000000000000 AND ${hasOwnAmount('w')}
      UNION ALL
      SELECT m.id IS NULL, ${shareOf(AMOUNT)}
        FROM (SELECT NULL::uuid AS id WHERE l.each IS NULL UNION ALL SELECT o.member_id FROM ${WITH_OVERRIDE}) AS m ${STATE}
    ) AS account WHERE account.share >= ${percent} * 1000000000000000000`;
}

/** How many accounts of a limit `l` would be full with an amount; those with an override in force keep theirs. */
export function fullWith(amount: string): string {
  return `
    (SELECT count(*) FROM budget_account a
      WHERE l.each IS NULL AND a.key_id = l.id AND a.period = p.name AND ${SPENT_OF_ACCOUNT} >= ${amount})
    + (SELECT count(*) FROM rate_window w CROSS JOIN LATERAL ${STATE_OF_WINDOW}
        WHERE l.each IS NULL AND ${IS_SLIDING} AND w.key_id = l.id AND ${SPENT_OF_WINDOW} >= ${amount})
    + (SELECT count(*) FROM ${windowsFor(true)}
        WHERE ${IS_WINDOW_OF_MEMBER} AND ${MOST_OF_WINDOW} >= ${amount} AND ${hasOwnAmount('w')} AND ${SPENT_OF_WINDOW} >= ${amount})
    + (SELECT count(*) FROM budget_account a
        WHERE ${OF_LIMIT} AND a.member_id IS NOT NULL AND a.used_step >= limit_used_step(${amount}) AND ${SPENT_OF_ACCOUNT} >= ${amount}
          AND ${hasOwnAmount('a')})
    + (SELECT count(*) FROM (SELECT o.member_id AS id FROM ${WITH_OVERRIDE}) AS m ${STATE}
        WHERE o.amount IS NOT NULL AND ${SPENT} >= o.amount)`;
}

/** Whether a limit `l` has an account of which more than so many percent are used. */
export function fullerThan(percent: string): string {
  return `EXISTS (SELECT FROM ${RUNNING_PERIOD} CROSS JOIN LATERAL ${toldMembers('-used', 1, { usedAbove: percent })} ${STATE}
    WHERE ${isAbove(AMOUNT, percent)})`;
}
