import {
  API_KEY_FIELDS,
  type ApiKeyFieldName,
  type FieldsWith,
} from '../../../packages/contract/src/api-key-fields.js';
import { contains, parseCidr } from '../../../packages/contract/src/address.js';
import { canonicalJson } from '../../common/canonical-json.js';
import { isModelName, matchesAny } from '../../common/model-pattern.js';
import { raisesMore } from './budget-raise.js';
import type { ApiKeyRules } from './settings.js';

type Loosens = (before: ApiKeyRules, after: ApiKeyRules) => boolean;

/** Fields that an owner may make less, and what is more. */
const LOOSENING: Readonly<Record<FieldsWith<{ owner: 'tighten' }>, Loosens>> = {
  verifiesEnvironment: (before, after) =>
    before.verifiesEnvironment !== 'any' && after.verifiesEnvironment !== before.verifiesEnvironment,
  scopes: (before, after) => !isSubset(after.scopes, before.scopes),
  roles: (before, after) => !isSubset(after.roles, before.roles),
  rateLimitPerMinute: (before, after) => isHigher(after.rateLimitPerMinute, before.rateLimitPerMinute),
  rateLimitPerHour: (before, after) => isHigher(after.rateLimitPerHour, before.rateLimitPerHour),
  rateLimitPerDay: (before, after) => isHigher(after.rateLimitPerDay, before.rateLimitPerDay),
  allowedIps: (before, after) => isWider(before.allowedIps, after.allowedIps, liesInsideNetwork),
  allowedModels: (before, after) => isWider(before.allowedModels, after.allowedModels, isAllowedModel),
  allowedChatbots: (before, after) => isWider(before.allowedChatbots, after.allowedChatbots, isListed),
  isUnlimited: (before, after) => isLimited(before) && !isLimited(after),
  budgetLimitCents: (before, after) =>
    isLimited(after) && isHigher(after.budgetLimitMicroCents, before.budgetLimitMicroCents),
  // A field whose change only follows from another one (the type of a budget that is dropped) is not named beside it.
  budgetType: (before, after) => isLimited(before) && isLimited(after) && after.budgetType !== before.budgetType,
  budgetRaise: (before, after) => raisesMore(before.budgetRaise, after.budgetRaise),
  // A call that holds fewer tokens passes where one that holds more is refused.
  defaultReserveTokens: (before, after) => (after.defaultReserveTokens ?? 0) < (before.defaultReserveTokens ?? 0),
  expiresAt: (before, after) => isHigher(after.expiresAt?.getTime() ?? null, before.expiresAt?.getTime() ?? null),
};

/** Whether a change of the field takes the permission. Tags that a key policy reserves are judged by the policy. */
function loosens(name: ApiKeyFieldName, before: ApiKeyRules, after: ApiKeyRules): boolean {
  const { owner } = API_KEY_FIELDS[name];
  if (owner === 'free') return false;
  if (owner === 'tighten') return LOOSENING[name as keyof typeof LOOSENING](before, after);
  const field = name as FieldsWith<{ owner: 'never' }>;
  return canonicalJson(after[field]) !== canonicalJson(before[field]);
}

const NAMES = Object.keys(API_KEY_FIELDS) as ApiKeyFieldName[];

/**
 * The paths of everything in which `after` is not at most what `before` was: what an owner without
 * `platform:api-keys:update` may not do to a key of their own. API names, in the API's order; empty: they may make the
 * change.
 * A change that passes never makes the key accept a call that it refused before, and so does any row of such changes.
 * Whether an IP entry lies inside the old ones is asked of each of them singly, so two halves of a network do not
 * vouch for the whole.
 */
export function loosenedFields(before: ApiKeyRules, after: ApiKeyRules): string[] {
  return NAMES.filter((name) => loosens(name, before, after));
}

function isLimited(rules: ApiKeyRules): boolean {
  return rules.budgetLimitMicroCents !== null;
}

/** Of two bounds, where null is none and so the highest. */
function isHigher<T extends number | bigint>(after: T | null, before: T | null): boolean {
  if (before === null) return false;
  return after === null || after > before;
}

function isSubset(after: readonly string[], before: readonly string[]): boolean {
  return after.every((entry) => before.includes(entry));
}

/** Of two lists that mean "any" when they are empty. */
function isWider(
  before: readonly string[],
  after: readonly string[],
  isInside: (entry: string, before: readonly string[]) => boolean,
): boolean {
  if (before.length === 0) return false;
  return after.length === 0 || !after.every((entry) => isInside(entry, before));
}

function isListed(entry: string, before: readonly string[]): boolean {
  return before.includes(entry);
}

function isAllowedModel(entry: string, before: readonly string[]): boolean {
  return before.includes(entry) || (isModelName(entry) && matchesAny(before, entry));
}

function liesInsideNetwork(entry: string, before: readonly string[]): boolean {
  if (before.includes(entry)) return true;
  const inner = parseCidr(entry);
  if (inner === null) return false;
  return before.map(parseCidr).some((outer) => outer !== null && contains(outer, inner));
}
