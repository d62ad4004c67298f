import type { KeyPolicy, KeyPolicyDefaults } from '../../../src/access/key-policy.js';

/** Does not compile while a bound or a default of a policy is missing: its error would stand beside nothing. */
const BOUNDS: Readonly<Record<Exclude<keyof KeyPolicy, 'defaults'>, true>> = {
  scopes: true,
  models: true,
  maxRateLimitPerMinute: true,
  maxRateLimitPerHour: true,
  maxRateLimitPerDay: true,
  maxBudgetLimitCents: true,
  budgetType: true,
  maxDefaultReserveTokens: true,
  maxValidityDays: true,
  reservedTagPrefixes: true,
  mustBelongToProject: true,
};
const DEFAULTS: Readonly<Record<keyof KeyPolicyDefaults, true>> = {
  scopes: true,
  allowedModels: true,
  rateLimitPerMinute: true,
  rateLimitPerHour: true,
  rateLimitPerDay: true,
  budgetLimitCents: true,
  budgetType: true,
  defaultReserveTokens: true,
  validityDays: true,
};

/** The fields of a key policy, by their paths. */
export const POLICY_FIELDS: readonly string[] = [
  ...Object.keys(BOUNDS),
  ...Object.keys(DEFAULTS).map((field) => `defaults.${field}`),
];
