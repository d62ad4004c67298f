import { matchesAny } from '../common/model-pattern.js';
import type { KeyPolicy } from './key-policy.js';

/**
 * Whether every key inside `inner` also lies inside `outer`: the test before a user whom `outer` binds may give
 * `inner` to anybody. null bounds nothing, so it contains all and lies inside null alone (or inside a policy without
 * any bound). Patterns are compared one against one, so the answer may be a no where several patterns of `outer`
 * together cover one of `inner`; it is never a wrong yes. Defaults bound nothing and are left out.
 */
export function policyContains(outer: KeyPolicy | null, inner: KeyPolicy | null): boolean {
  if (outer === null) return true;
  const within = inner ?? {};
  return (
    listWithin(outer.scopes, within.scopes) &&
    listWithin(outer.models, within.models) &&
    numberWithin(outer.maxRateLimitPerMinute, within.maxRateLimitPerMinute) &&
    numberWithin(outer.maxRateLimitPerHour, within.maxRateLimitPerHour) &&
    numberWithin(outer.maxRateLimitPerDay, within.maxRateLimitPerDay) &&
    budgetWithin(outer, within) &&
    numberWithin(outer.maxDefaultReserveTokens, within.maxDefaultReserveTokens) &&
    numberWithin(outer.maxValidityDays, within.maxValidityDays) &&
    reservesAsMuch(outer.reservedTagPrefixes ?? [], within.reservedTagPrefixes ?? []) &&
    (outer.mustBelongToProject !== true || within.mustBelongToProject === true)
  );
}

function listWithin(outer: readonly string[] | undefined, inner: readonly string[] | undefined): boolean {
  if (outer === undefined) return true;
  return inner !== undefined && inner.every((entry) => matchesAny(outer, entry));
}

/** Every tag that the outer policy reserves is reserved by the inner one. */
function reservesAsMuch(outer: readonly string[], inner: readonly string[]): boolean {
  return outer.every((prefix) => inner.some((shorter) => prefix.toLowerCase().startsWith(shorter.toLowerCase())));
}

function numberWithin(outer: number | undefined, inner: number | undefined): boolean {
  if (outer === undefined) return true;
  return inner !== undefined && inner <= outer;
}

/** A bound on total budgets admits no monthly one, however small: it comes again every month. */
function budgetWithin(outer: KeyPolicy, inner: KeyPolicy): boolean {
  if (!numberWithin(outer.maxBudgetLimitCents, inner.maxBudgetLimitCents)) return false;
  return outer.maxBudgetLimitCents === undefined || outer.budgetType !== 'total' || inner.budgetType === 'total';
}
