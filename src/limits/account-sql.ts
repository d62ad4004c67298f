import type { LimitUnit } from '../../packages/contract/src/limit.js';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { ENDS_AT, HELD, IS_SLIDING, SPENT, STARTS_AT, WINDOW_STATE } from '../quotas/limits/account-amounts.js';

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

/**
 * Members `m` of a limit `l` whose accounts are told of: those that have called in the period `p`, or whose window is
 * there, and those with an override; of a limit that all calls share, null.
 */
const TOLD_MEMBERS = `
  (SELECT NULL::uuid AS id WHERE l.each IS NULL
   UNION
   SELECT a.member_id FROM budget_account a WHERE a.limit_id = l.id AND a.period = p.name AND l.each IS NOT NULL
   UNION
   SELECT w.member_id FROM rate_window w WHERE ${IS_SLIDING} AND w.limit_id = l.id AND l.each IS NOT NULL
   UNION
   SELECT o.member_id FROM quota_limit_override o WHERE o.limit_id = l.id AND l.each IS NOT NULL) AS m`;

/**
 * Whether a limit `l` has no more accounts and overrides than can all be looked at for one answer. A sum or an order
 * over all of them is told of such limits only: `budget_account.used_percent` does not help, for it has no percent of
 * limits that observe, and that of an older amount until the member's next call.
 */
export const HAS_FEW_ACCOUNTS = `(l.each IS NULL OR NOT EXISTS (
    SELECT FROM ${RUNNING_PERIOD} JOIN budget_account a ON a.limit_id = l.id AND a.period = p.name OFFSET ${MAX_COUNTED_ROWS})
  AND NOT EXISTS (SELECT FROM rate_window w WHERE ${IS_SLIDING} AND w.limit_id = l.id OFFSET ${MAX_COUNTED_ROWS})
  AND NOT EXISTS (SELECT FROM quota_limit_override o WHERE o.limit_id = l.id OFFSET ${MAX_COUNTED_ROWS}))`;

/** The override `o` in force, and the account's row `a` or window `s`, of a member `m` of a limit `l`. */
const STATE = `
  LEFT JOIN quota_limit_override o
    ON o.limit_id = l.id AND o.member_id = m.id AND (o.until IS NULL OR o.until > quota_clock())
  LEFT JOIN budget_account a ON a.key_id = limit_account_id(l.id, m.id) AND a.period = p.name ${WINDOW_STATE}`;

const AMOUNT = 'coalesce(o.amount, l.amount)';
/** Percent; nothing fits into an amount of 0. */
const USED = `CASE ${AMOUNT} WHEN 0 THEN 100 ELSE (${SPENT}) * 100.0 / ${AMOUNT} END`;

/** Columns of an account. `held`: reserved, or set aside by a replica for its next calls. */
const COLUMNS = `
  l.id AS limit_id, l.unit, m.id AS member_id, ${AMOUNT} AS amount, ${SPENT} AS spent, ${HELD} AS held,
  round(${USED}, 6) AS used, ${STARTS_AT} AS starts_at, ${ENDS_AT} AS ends_at,
  o.amount AS override_amount, o.until AS override_until, o.reason AS override_reason`;

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
}

/** The accounts of the limits `l` that `limits` selects. */
export function accountsOf(limits: string): string {
  return `SELECT ${COLUMNS} FROM (${limits}) AS l CROSS JOIN LATERAL ${RUNNING_PERIOD} CROSS JOIN LATERAL ${TOLD_MEMBERS} ${STATE}`;
}

/** The accounts of pairs of a limit and a member in the arrays `$1` and `$2`. */
export const ACCOUNTS_OF_PAIRS = `
  SELECT ${COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS m (limit_id, id) JOIN quota_limit l ON l.id = m.limit_id
    CROSS JOIN LATERAL ${RUNNING_PERIOD} ${STATE}`;

/** Whether a limit `l` has an account of which more than so many percent are used. */
export function fullerThan(percent: string): string {
  return `EXISTS (SELECT FROM ${RUNNING_PERIOD} CROSS JOIN LATERAL ${TOLD_MEMBERS} ${STATE} WHERE ${USED} > ${percent})`;
}
