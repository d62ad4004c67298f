import type { ApiKeyFilterDto } from './api-keys-query.dto.js';
import { ENDS_AT, type KeyCompanion, USED_AT } from './key-sort.js';
import { HAS_PAIR, isPair } from './search-text.js';
import { spellingsOf } from '../../common/text.js';
import { termsCondition } from './key-terms.js';
import { API_KEY_STATUSES, type ApiKeyStatus } from '../status.js';

/** Whose keys a caller may see: all, those of some owners and projects, or one. Narrowing never widens it. */
export type VisibleKeys =
  | { readonly kind: 'all' }
  | { readonly kind: 'owners'; readonly ownerIds: readonly string[]; readonly projectIds: readonly string[] }
  | { readonly kind: 'key'; readonly id: string };

/** A condition on `api_key k` and its companions with the values of its placeholders `$1`, `$2`, … */
export interface SqlCondition {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  /** Tables it needs beside `api_key k`. @see keysWith */
  readonly companions: readonly KeyCompanion[];
  /** How the index of terms finds its keys and some others; null where other indexes find them. @see selectByTerms */
  readonly terms: string | null;
}

/** Gives the placeholder of a value; the same one to the same value. */
type Bind = (value: unknown, type: string) => string;

/** Every key has its totals, from birth; of its accounts a condition on `b.period` must choose one. */
const COMPANIONS: Record<KeyCompanion, string> = {
  use: 'JOIN key_totals u ON u.key_id = k.id AND u.is_listed',
  budget: 'JOIN budget_account b ON b.key_id = k.id',
};

/** The tables of a list: `api_key k` and what condition or order need beside it. */
export function keysWith(...needed: readonly { readonly companions: readonly KeyCompanion[] }[]): string {
  return `api_key k ${companionsOf(...needed)}`;
}

/** The joins of what condition or order need beside `k`. */
export function companionsOf(...needed: readonly { readonly companions: readonly KeyCompanion[] }[]): string {
  return [...new Set(needed.flatMap(({ companions }) => companions))].map((name) => COMPANIONS[name]).join(' ');
}

/**
 * The statuses in SQL: exactly one of them holds for a key, and it is the one that `shownStatusOf` gives at `now`.
 * Spelt so that the partial indexes on the statuses are seen to apply.
 */
const STATUS: Record<ApiKeyStatus, (now: () => string) => string> = {
  revoked: () => 'k.revoked_at IS NOT NULL',
  inactive: () => 'k.revoked_at IS NULL AND NOT k.is_active',
  expired: (now) => `k.revoked_at IS NULL AND k.is_active AND ${ENDS_AT} <= ${now()}`,
  pending: (now) => `k.revoked_at IS NULL AND k.is_active AND k.secret_prefixes = '' AND ${ENDS_AT} > ${now()}`,
  active: (now) => `k.revoked_at IS NULL AND k.is_active AND k.secret_prefixes <> '' AND ${ENDS_AT} > ${now()}`,
};

/** The status of a key at `now`, an SQL expression of type timestamptz. @see shownStatusOf */
export function statusExpression(now: string): string {
  return `CASE ${API_KEY_STATUSES.map((status) => `WHEN ${STATUS[status](() => now)} THEN '${status}'`).join(' ')} END`;
}

/** The keys that `filter` asks for among those that are visible. */
export function conditionOf(filter: ApiKeyFilterDto, visible: VisibleKeys, now: Date): SqlCondition {
  const parameters: unknown[] = [];
  const placeholders = new Map<string, string>();
  const bind: Bind = (value, type) => {
    const known = `${type} ${JSON.stringify(value)}`;
    if (!placeholders.has(known)) placeholders.set(known, `$${parameters.push(value)}::${type}`);
    return placeholders.get(known)!;
  };
  const parts = [...visibleParts(visible, bind), ...filterParts(filter, now, bind)];
  return {
    sql: parts.length === 0 ? 'true' : parts.join(' AND '),
    parameters,
    companions: neededCompanions(filter),
    terms: termsOf(filter, visible, bind),
  };
}

/**
 * One key is found by its id; and where neither tag, scope nor text is asked for, an index has the very keys. Every
 * value stands in the condition as well: a statement may go by it alone.
 */
function termsOf(filter: ApiKeyFilterDto, visible: VisibleKeys, bind: Bind): string | null {
  const { status, isActive, tag, scope, search } = filter;
  // Pairs have an index of their own: of every three letters a pair has none.
  if (search !== undefined && isPair(search)) return null;
  if (visible.kind === 'key' || (tag === undefined && scope === undefined && search === undefined)) return null;
  // Terms know no projects: keys of own and of some projects are few, and two indexes have them.
  if (visible.kind === 'owners' && visible.projectIds.length > 0 && filter.ownerId === undefined) return null;
  const owners = ownersOf(filter, visible);
  return termsCondition({
    owner: owners?.length === 1 ? bind(owners[0], 'uuid') : undefined,
    anyOwner: owners !== null && owners.length !== 1 ? bind(owners, 'uuid[]') : undefined,
    tags: tag === undefined ? undefined : bind(tag, 'text[]'),
    scopes: scope === undefined ? undefined : bind(scope, 'text[]'),
    isRevoked: status === 'revoked',
    isSwitchedOff: status === 'inactive' || isActive === false,
    texts: search === undefined ? undefined : textsOf(search, bind),
  });
}

/** The owners whose keys may be in the list; null: any. */
function ownersOf({ ownerId }: ApiKeyFilterDto, visible: VisibleKeys): readonly string[] | null {
  if (ownerId !== undefined) return [ownerId.toLowerCase()];
  return visible.kind === 'owners' ? visible.ownerIds : null;
}

function neededCompanions({ unusedSince, neverUsed, budgetUsedAbove }: ApiKeyFilterDto): KeyCompanion[] {
  return [
    ...(unusedSince !== undefined || neverUsed !== undefined ? ['use' as const] : []),
    ...(budgetUsedAbove !== undefined ? ['budget' as const] : []),
  ];
}

function visibleParts(visible: VisibleKeys, bind: Bind): string[] {
  if (visible.kind === 'all') return [];
  if (visible.kind === 'key') return [`k.id = ${bind(visible.id, 'uuid')}`];
  const { ownerIds, projectIds } = visible;
  const [first, ...others] = ownerIds;
  // One owner as an equation: the index of owners then gives the keys in order.
  const own =
    first !== undefined && others.length === 0
      ? `k.owner_id = ${bind(first, 'uuid')}`
      : `k.owner_id = ANY(${bind(ownerIds, 'uuid[]')})`;
  return [projectIds.length === 0 ? own : `(${own} OR k.project_id = ANY(${bind(projectIds, 'uuid[]')}))`];
}

function filterParts(filter: ApiKeyFilterDto, now: Date, bind: Bind): string[] {
  const parts: string[] = [];
  const { id, ownerId, projectId, status, isActive, environment, tag, scope, search, handOver } = filter;
  if (id !== undefined) parts.push(`k.id = ANY(${bind(id, 'uuid[]')})`);
  if (ownerId !== undefined) parts.push(`k.owner_id = ${bind(ownerId.toLowerCase(), 'uuid')}`);
  if (projectId !== undefined) parts.push(`k.project_id = ${bind(projectId.toLowerCase(), 'uuid')}`);
  if (status !== undefined) parts.push(statusPart(status, neededCompanions(filter), () => bind(now, 'timestamptz')));
  if (isActive !== undefined) parts.push(isActive ? 'k.is_active' : 'NOT k.is_active');
  // A literal of a closed set, not a value: so that the partial index on keys for tests is seen to apply.
  if (environment !== undefined)
    parts.push(environment === 'test' ? `k.environment = 'test'` : `k.environment = 'live'`);
  if (tag !== undefined) parts.push(`k.tags @> ${bind(tag, 'text[]')}`);
  if (scope !== undefined) parts.push(`k.scopes @> ${bind(scope, 'text[]')}`);
  if (search !== undefined) parts.push(...searchParts(search, bind));
  if (handOver !== undefined) parts.push(handOverPart(handOver, bind(now, 'timestamptz')));
  return [...parts, ...hygieneParts(filter, bind), ...budgetParts(filter, now, bind)];
}

/**
 * A key that stands beside its companion is found by its id, in an index that has all of an active one but whether it
 * waits for its secret: those that do are few, and an index of their own has them.
 */
function statusPart(status: ApiKeyStatus, companions: readonly KeyCompanion[], now: () => string): string {
  if (status !== 'active' || companions.length === 0) return STATUS[status](now);
  return `k.revoked_at IS NULL AND k.is_active AND ${ENDS_AT} > ${now()} AND NOT EXISTS (
    SELECT FROM api_key p WHERE p.created_at = k.created_at AND p.id = k.id AND p.revoked_at IS NULL AND p.is_active AND p.secret_prefixes = '')`;
}

/** An offer that has ended may still be stored, and that of a revoked key counts no more. @see openHandOver */
function handOverPart(isOpen: boolean, now: string): string {
  return isOpen
    ? `(k.hand_over_until > ${now} AND k.revoked_at IS NULL)`
    : `(k.hand_over_until IS NULL OR k.hand_over_until <= ${now} OR k.revoked_at IS NOT NULL)`;
}

/** Each spelling of the text, in lower case. */
function textsOf(search: string, bind: Bind): string[] {
  return spellingsOf(search).map((text) => `lower(${bind(text, 'text')})`);
}

function searchParts(search: string, bind: Bind): string[] {
  const texts = textsOf(search, bind);
  const found = texts.map((text) => `strpos(k.search_text, ${text}) > 0`).join(' OR ');
  if (!isPair(search)) return [`(${found})`];
  const pairs = 'api_key_pairs(k.search_text)';
  const indexed = texts.map((text) => `${pairs} @> api_key_pairs(${text})`).join(' OR ');
  // As the partial index has it, so that it is seen to apply.
  return [`k.search_text ~ '${HAS_PAIR}' AND (${indexed})`, `(${found})`];
}

function hygieneParts(filter: ApiKeyFilterDto, bind: Bind): string[] {
  const parts: string[] = [];
  const { expiresBefore, unusedSince, neverUsed, hasExpiry } = filter;
  if (expiresBefore !== undefined) parts.push(`${ENDS_AT} < ${bind(expiresBefore, 'timestamptz')}`);
  if (unusedSince !== undefined) {
    const since = bind(unusedSince, 'timestamptz');
    // A key made later was not unused since then: there was none.
    parts.push(`${USED_AT} < ${since} AND k.created_at < ${since}`);
  }
  if (neverUsed !== undefined) parts.push(`${USED_AT} ${neverUsed ? '=' : '>'} '-infinity'`);
  if (hasExpiry !== undefined) parts.push(`${ENDS_AT} ${hasExpiry ? '<' : '='} 'infinity'`);
  return parts;
}

/** A month without an account is one without spending. */
function budgetParts({ budgetUsedAbove }: ApiKeyFilterDto, now: Date, bind: Bind): string[] {
  if (budgetUsedAbove === undefined) return [];
  const month = bind(`${now.toISOString().slice(0, 7)}-01`, 'text');
  // A key is limited by its only account or by that of the month: of these two at most one has a percentage.
  const parts = [
    `b.period IN ('total', ${month}) AND b.used_percent >= ${bind(Math.floor(budgetUsedAbove) + 1, 'integer')}`,
  ];
  // The index has whole percents, rounded up: they decide unless a part of one is asked for.
  if (!Number.isInteger(budgetUsedAbove))
    parts.push(`b.spent_micro_cents::numeric * 100 > ${bind(budgetUsedAbove, 'numeric')} * b.limit_micro_cents`);
  // While a raise runs the percentage is of more: the index has no fewer keys than are meant. Which are not meant is
  // found apart, in an index of raised accounts: the others are then decided without their rows.
  parts.push(
    `b.key_id NOT IN (SELECT r.key_id FROM budget_account r
      WHERE r.period IN ('total', ${month}) AND r.raise_until > ${bind(now, 'timestamptz')}
        AND r.spent_micro_cents::numeric * 100 <= ${bind(budgetUsedAbove, 'numeric')} * (r.limit_micro_cents::numeric + r.raise_micro_cents))`,
  );
  return parts;
}
