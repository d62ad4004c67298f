import { z } from 'zod';
import { isOf } from '../common/grammars/grammar.js';
import { SCOPE } from '../common/grammars/scope.js';
import { TAG } from '../common/grammars/tag.js';
import { isModelPattern } from '../common/model-pattern.js';
import { InvalidCentsError, microCentsFromCents } from '../common/money.js';
import { violations, withDefaults, type KeyPolicy, type PolicyViolation } from './key-policy.js';

const MAX_VALIDITY_DAYS = 3650;

/** What is wrong with a text that was to become a key policy; `errors` may be shown to whoever sent it. */
export class InvalidKeyPolicyError extends Error {
  override readonly name = 'InvalidKeyPolicyError';

  constructor(readonly errors: readonly PolicyViolation[]) {
    super(`the key policy is invalid: ${errors.map(({ path }) => path).join(', ')}`);
  }
}

const wholeNumber = (max: number) => {
  const message = `must be a whole number from 1 to ${max}`;
  return z.int(message).min(1, message).max(max, message).optional();
};

const listOf = (name: string, maxEntries: number, isEntry: (text: string) => boolean) =>
  z
    .array(z.string(`must be ${name}`).refine(isEntry, `must be ${name}`), `must be a list of at most ${maxEntries}`)
    .max(maxEntries, `must be a list of at most ${maxEntries}`)
    .refine((entries) => new Set(entries).size === entries.length, 'must not contain an entry twice');

const scopes = listOf('a scope or a pattern of scopes', 100, (text) => isOf(SCOPE, text));
const models = listOf('a model or a pattern of models', 256, isModelPattern);
const budgetType = z.enum(['total', 'monthly'], 'must be total or monthly').optional();
const cents = z
  .number('must be a number')
  .superRefine((value, context) => {
    const problem = centsProblem(value);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  })
  .optional();

/** A tag's grammar: what it begins with is one. */
const tagPrefixes = listOf('the beginning of a tag', 50, (text) => isOf(TAG, text));

const limits = { perMinute: wholeNumber(10_000), perHour: wholeNumber(100_000), perDay: wholeNumber(1_000_000) };

const schema = z
  .strictObject(
    {
      scopes: scopes.optional(),
      models: models.min(1, 'must not be empty, because then no key could lie inside').optional(),
      maxRateLimitPerMinute: limits.perMinute,
      maxRateLimitPerHour: limits.perHour,
      maxRateLimitPerDay: limits.perDay,
      maxBudgetLimitCents: cents,
      budgetType,
      maxValidityDays: wholeNumber(MAX_VALIDITY_DAYS),
      reservedTagPrefixes: tagPrefixes.optional(),
      defaults: z
        .strictObject(
          {
            scopes: scopes.optional(),
            allowedModels: models.optional(),
            rateLimitPerMinute: limits.perMinute,
            rateLimitPerHour: limits.perHour,
            rateLimitPerDay: limits.perDay,
            budgetLimitCents: cents,
            budgetType,
            validityDays: wholeNumber(MAX_VALIDITY_DAYS),
          },
          { error: objectMessage },
        )
        .refine((defaults) => defaults.budgetType === undefined || defaults.budgetLimitCents !== undefined, {
          path: ['budgetType'],
          message: 'needs a budgetLimitCents beside it',
        })
        .optional(),
    },
    { error: objectMessage },
  )
  .refine((policy) => policy.budgetType === undefined || policy.maxBudgetLimitCents !== undefined, {
    path: ['budgetType'],
    message: 'needs a maxBudgetLimitCents beside it',
  });

/**
 * Reads a key policy from JSON, strictly: unknown fields are refused, nothing is coerced, numbers lie within what a key
 * may have, and the defaults lie inside the bounds beside them.
 *
 * @throws {InvalidKeyPolicyError} with every offending path, such as `models.3` or `defaults.validityDays`. The
 * defaults are held against the bounds only once everything is well formed.
 */
export function parseKeyPolicy(json: unknown): KeyPolicy {
  const result = schema.safeParse(json);
  if (!result.success) throw new InvalidKeyPolicyError(result.error.issues.flatMap(readIssue));
  const outside = defaultsOutside(result.data);
  if (outside.length > 0) throw new InvalidKeyPolicyError(outside);
  return result.data;
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
    expiresAt: null,
    validityDays: null,
    ...withDefaults(policy, {}, now),
  };
  return violations(policy, key, now)
    .filter(({ path }) => path !== 'expiresAt')
    .map(({ path, message }) => ({ path: `defaults.${path}`, message }));
}

function centsProblem(value: number): string | null {
  try {
    microCentsFromCents(value);
    return null;
  } catch (error) {
    if (error instanceof InvalidCentsError) return error.message;
    throw error;
  }
}

function objectMessage(issue: { readonly code?: string }): string {
  return issue.code === 'unrecognized_keys' ? 'is unknown' : 'must be an object';
}

function readIssue(issue: z.core.$ZodIssue): PolicyViolation[] {
  const paths = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
  return paths.map((path) => ({ path: path.map(String).join('.'), message: issue.message }));
}
