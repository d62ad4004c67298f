import type { KeyPolicy } from '../../../src/access/key-policy.js';
import { count, money } from '../ui/format';

/** A policy as sentences. */
export function policyInWords(policy: KeyPolicy): string {
  const said = [
    policy.scopes && `scopes ${policy.scopes.join(', ') || 'none'}`,
    policy.models && `models ${policy.models.join(', ')}`,
    policy.maxRateLimitPerMinute && `at most ${count(policy.maxRateLimitPerMinute)} per minute`,
    policy.maxRateLimitPerHour && `at most ${count(policy.maxRateLimitPerHour)} per hour`,
    policy.maxRateLimitPerDay && `at most ${count(policy.maxRateLimitPerDay)} per day`,
    policy.maxBudgetLimitCents !== undefined &&
      `at most ${money(policy.maxBudgetLimitCents)} ${policy.budgetType === 'total' ? 'in total' : 'per month'}`,
    policy.maxDefaultReserveTokens && `at most ${count(policy.maxDefaultReserveTokens)} tokens held unasked`,
    policy.maxValidityDays && `valid for at most ${policy.maxValidityDays} days`,
    policy.mustBelongToProject && 'in a project',
    policy.reservedTagPrefixes?.length &&
      `no tags of your own that begin with ${policy.reservedTagPrefixes.join(', ')}`,
  ].filter(Boolean);
  const bounds = said.length === 0 ? 'No bounds.' : `Bounds of your keys: ${said.join('; ')}.`;
  const filled = defaultsInWords(policy);
  return filled === '' ? bounds : `${bounds} New keys start with ${filled}.`;
}

function defaultsInWords({ defaults = {} }: KeyPolicy): string {
  return [
    defaults.scopes && `scopes ${defaults.scopes.join(', ') || 'none'}`,
    defaults.allowedModels && `models ${defaults.allowedModels.join(', ') || 'any'}`,
    defaults.rateLimitPerMinute && `${count(defaults.rateLimitPerMinute)} per minute`,
    defaults.rateLimitPerHour && `${count(defaults.rateLimitPerHour)} per hour`,
    defaults.rateLimitPerDay && `${count(defaults.rateLimitPerDay)} per day`,
    defaults.budgetLimitCents !== undefined &&
      `${money(defaults.budgetLimitCents)} ${defaults.budgetType === 'monthly' ? 'per month' : 'in total'}`,
    defaults.defaultReserveTokens && `${count(defaults.defaultReserveTokens)} tokens held unasked`,
    defaults.validityDays && `${defaults.validityDays} days`,
  ]
    .filter(Boolean)
    .join('; ');
}
