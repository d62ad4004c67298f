import type { ApiKeyFilterDto } from './api-keys-query.dto.js';
import { ENDS_AT, type KeyCompanion, USED_AT } from './key-sort.js';
import { API_KEY_STATUSES, type ApiKeyStatus } from './status.js';

/** Whose keys a caller may see: all, those of some owners, or one. Narrowing never widens it. */
export type VisibleKeys =
  | { readonly kind: 'all' }
  | { readonly kind: 'owners'; readonly ownerIds: readonly string[] }
  | { readonly kind: 'key'; readonly id: string };

/** A condition on `api_key k` and its companions with the values of its placeholders `$1`, `$2`, … */
export interface SqlCondition {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  /** Tables it needs beside `api_key k`. @see keysWith */
  readonly companions: readonly KeyCompanion[];
  /** Whether looking for its keys is the work (tags, scopes, search, another table), and not reading them: it is done once. */
  readonly isSearch: boolean;
}

/** Gives the placeholder of a value. */
type Bind = (value: unknown, type: string) => string;

/** Every key has its totals, from birth; of its accounts a condition on `b.period` must choose one. */
const COMPANIONS: Record<KeyCompanion, string> = {
  use: 'JOIN key_totals u ON u.key_id = k.id AND u.is_listed',
  budget: 'JOIN budget_account b ON b.key_id = k.id',
};

/** The tables of a list: `api_key k` and what condition or order need beside it. */
export function keysWith(...needed: readonly { readonly companions: readonly KeyCompanion[] }[]): string {
  const names = new Set(needed.flatMap(({ companions }) => companions));
  return ['api_key k', ...[...names].map((name) => COMPANIONS[name])].join(' ');
}

/**
 * The statuses in SQL: exactly one of them holds for a key, and it is the one that `statusOf` gives at `now`.
 * Spelt so that the partial indexes on the statuses are seen to apply.
 */
const STATUS: Record<ApiKeyStatus, (now: () => string) => string> = {
  revoked: () => 'k.revoked_at IS NOT NULL',
  inactive: () => 'k.revoked_at IS NULL AND NOT k.is_active',
  expired: (now) => `k.revoked_at IS NULL AND k.is_active AND ${ENDS_AT} <= ${now()}`,
  active: (now) => `k.revoked_at IS NULL AND k.is_active AND ${ENDS_AT} > ${now()}`,
};

/** The status of a key at `now`, an SQL expression of type timestamptz. @see statusOf */
export function statusExpression(now: string): string {
  return `CASE ${API_KEY_STATUSES.map((status) => `WHEN ${STATUS[status](() => now)} THEN '${status}'`).join(' ')} END`;
}

/** The keys that `filter` asks for among those that are visible. */
export function conditionOf(filter: ApiKeyFilterDto, visible: VisibleKeys, now: Date): SqlCondition {
  const parameters: unknown[] = [];
  const bind: Bind = (value, type) => `$${parameters.push(value)}::${type}`;
  const terms = [...visibleTerms(visible, bind), ...filterTerms(filter, now, bind)];
  const companions = companionsOf(filter);
  const isSearch = companions.length > 0 || [filter.tag, filter.scope, filter.search].some((part) => part !== undefined);
  return { sql: terms.length === 0 ? 'true' : terms.join(' AND '), parameters, companions, isSearch };
}

function companionsOf({ unusedSince, neverUsed, budgetUsedAbove }: ApiKeyFilterDto): KeyCompanion[] {
  return [...(unusedSince !== undefined || neverUsed !== undefined ? ['use' as const] : []), ...(budgetUsedAbove !== undefined ? ['budget' as const] : [])];
}

function visibleTerms(visible: VisibleKeys, bind: Bind): string[] {
  if (visible.kind === 'all') return [];
  if (visible.kind === 'key') return [`k.id = ${bind(visible.id, 'uuid')}`];
  const [first, ...others] = visible.ownerIds;
  // One owner as an equation: his index then gives his keys in order.
  return [others.length === 0 ? `k.owner_id = ${bind(first ?? null, 'uuid')}` : `k.owner_id = ANY(${bind(visible.ownerIds, 'uuid[]')})`];
}

function filterTerms(filter: ApiKeyFilterDto, now: Date, bind: Bind): string[] {
  const terms: string[] = [];
  const { ownerId, status, isActive, environment, tag, scope, search } = filter;
  if (ownerId !== undefined) terms.push(`k.owner_id = ${bind(ownerId.toLowerCase(), 'uuid')}`);
  if (status !== undefined) terms.push(STATUS[status](() => bind(now, 'timestamptz')));
  if (isActive !== undefined) terms.push(isActive ? 'k.is_active' : 'NOT k.is_active');
  // A literal of a closed set, not a value: so that the partial index on keys for tests is seen to apply.
  if (environment !== undefined) terms.push(environment === 'test' ? `k.environment = 'test'` : `k.environment = 'live'`);
  if (tag !== undefined) terms.push(`k.tags @> ${bind(tag, 'text[]')}`);
  if (scope !== undefined) terms.push(`k.scopes @> ${bind(scope, 'text[]')}`);
  if (search !== undefined) terms.push(`k.search_text LIKE lower(${bind(`%${literal(search)}%`, 'text')})`);
  return [...terms, ...hygieneTerms(filter, bind), ...budgetTerms(filter, now, bind)];
}

function hygieneTerms(filter: ApiKeyFilterDto, bind: Bind): string[] {
  const terms: string[] = [];
  const { expiresBefore, unusedSince, neverUsed, hasExpiry } = filter;
  if (expiresBefore !== undefined) terms.push(`${ENDS_AT} < ${bind(expiresBefore, 'timestamptz')}`);
  if (unusedSince !== undefined) {
    const since = bind(unusedSince, 'timestamptz');
    // A key made later was not unused since then: there was none.
    terms.push(`${USED_AT} < ${since} AND k.created_at < ${since}`);
  }
  if (neverUsed !== undefined) terms.push(`${USED_AT} ${neverUsed ? '=' : '>'} '-infinity'`);
  if (hasExpiry !== undefined) terms.push(`${ENDS_AT} ${hasExpiry ? '<' : '='} 'infinity'`);
  return terms;
}

/** A month without an account is one without spending. */
function budgetTerms({ budgetUsedAbove }: ApiKeyFilterDto, now: Date, bind: Bind): string[] {
  if (budgetUsedAbove === undefined) return [];
  const month = bind(`${now.toISOString().slice(0, 7)}-01`, 'text');
  // A key is limited by its only account or by that of the month: of these two at most one has a percentage.
  const terms = [`b.period IN ('total', ${month}) AND b.used_percent >= ${bind(Math.floor(budgetUsedAbove) + 1, 'integer')}`];
  // The index has whole percents, rounded up: they decide unless a part of one is asked for.
  if (!Number.isInteger(budgetUsedAbove)) terms.push(`b.spent_micro_cents::numeric * 100 > ${bind(budgetUsedAbove, 'numeric')} * b.limit_micro_cents`);
  return terms;
}

/** A text that LIKE takes for itself. */
function literal(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
