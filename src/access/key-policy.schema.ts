import { API_KEY_FIELDS as KEY } from '../../packages/contract/src/api-key-fields.js';
import { FLAG } from '../../packages/contract/src/grammar.js';
import { type Fault, type Schema, faultsOf } from '../../packages/contract/src/schema.js';
import {
  violations,
  withDefaults,
  type KeyPolicy,
  type KeyPolicyDefaults,
  type PolicyViolation,
} from './key-policy.js';

/** What is wrong with a text that was to become a key policy; `errors` may be shown to its sender. */
export class InvalidKeyPolicyError extends Error {
  override readonly name = 'InvalidKeyPolicyError';

  constructor(readonly errors: readonly PolicyViolation[]) {
    super(`the key policy is invalid: ${errors.map(({ path }) => path).join(', ')}`);
  }
}

/** Bounds have the grammar of the fields that they bound: a scope, a model and a tag's beginning can be patterns. */
const BOUNDS: Readonly<Record<Exclude<keyof KeyPolicy, 'defaults'>, Schema>> = {
  scopes: KEY.scopes.schema,
  models: {
    ...KEY.allowedModels.schema,
    check: (models: readonly string[]) =>
      models.length > 0 ? null : 'must not be empty, because then no key could lie inside',
  },
  maxRateLimitPerMinute: KEY.rateLimitPerMinute.schema,
  maxRateLimitPerHour: KEY.rateLimitPerHour.schema,
  maxRateLimitPerDay: KEY.rateLimitPerDay.schema,
  maxBudgetLimitCents: KEY.budgetLimitCents.schema,
  budgetType: KEY.budgetType.schema,
  maxDefaultReserveTokens: KEY.defaultReserveTokens.schema,
  maxValidityDays: KEY.validityDays.schema,
  reservedTagPrefixes: KEY.tags.schema,
  mustBelongToProject: FLAG,
};

const DEFAULTS: Readonly<Record<keyof KeyPolicyDefaults, Schema>> = {
  scopes: KEY.scopes.schema,
  allowedModels: KEY.allowedModels.schema,
  rateLimitPerMinute: KEY.rateLimitPerMinute.schema,
  rateLimitPerHour: KEY.rateLimitPerHour.schema,
  rateLimitPerDay: KEY.rateLimitPerDay.schema,
  budgetLimitCents: KEY.budgetLimitCents.schema,
  budgetType: KEY.budgetType.schema,
  defaultReserveTokens: KEY.defaultReserveTokens.schema,
  validityDays: KEY.validityDays.schema,
};

const objectOf = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
});

const POLICY = objectOf({ ...BOUNDS, defaults: objectOf(DEFAULTS) });

/**
 * Reads a key policy from JSON, strictly: unknown fields are refused, nothing is coerced, numbers lie within what a key
 * may have, and the defaults lie inside the bounds beside them.
 *
 * @throws {InvalidKeyPolicyError} with every offending path, such as `models.3` or `defaults.validityDays`. The
 * defaults are held against the bounds only once everything is well formed.
 */
export function parseKeyPolicy(json: unknown): KeyPolicy {
  refuse(faultsOf(POLICY, json));
  const policy = json as KeyPolicy;
  refuse(budgetTypesAlone(policy));
  refuse(defaultsOutside(policy));
  return policy;
}

function refuse(faults: readonly Fault[]): void {
  if (faults.length > 0) throw new InvalidKeyPolicyError(faults);
}

/** The type of a budget says nothing without its limit. */
function budgetTypesAlone({ budgetType, maxBudgetLimitCents, defaults }: KeyPolicy): Fault[] {
  const faults: Fault[] = [];
  if (budgetType !== undefined && maxBudgetLimitCents === undefined) {
    faults.push({ path: 'budgetType', message: 'needs a maxBudgetLimitCents beside it' });
  }
  if (defaults?.budgetType !== undefined && defaults.budgetLimitCents === undefined) {
    faults.push({ path: 'defaults.budgetType', message: 'needs a budgetLimitCents beside it' });
  }
  return faults;
}

/** A key that is made of the defaults alone shows which of them the policy itself would refuse. */
function defaultsOutside(policy: KeyPolicy): PolicyViolation[] {
  const now = new Date(0);
  const key = {
    scopes: [],
    rateLimitPerMinute: null,
    rateLimitPerHour: null,
    rateLimitPerDay: null,
    allowedModels: [],
    tags: [],
    budgetLimitMicroCents: null,
    budgetType: null,
    defaultReserveTokens: null,
    expiresAt: null,
    validityDays: null,
    ...withDefaults(policy, {}, now),
  };
  return violations(policy, key, now)
    .filter(({ path }) => path !== 'expiresAt')
    .map((violation) => ({ ...violation, path: `defaults.${violation.path}` }));
}
