import type { ApiKeyFieldName, FieldsWith, None } from '../../packages/contract/src/api-key-fields.js';
import { API_KEY_FIELDS } from '../../packages/contract/src/api-key-fields.js';
import { type SentencePart, inParts, written } from '../../packages/contract/src/sentence.js';
import { matchesAny } from '../common/model-pattern.js';
import { microCentsFromCents } from '../common/money.js';

/** The values that a new key gets in fields its creator did not fill in. */
export interface KeyPolicyDefaults {
  readonly scopes?: readonly string[];
  readonly allowedModels?: readonly string[];
  readonly rateLimitPerMinute?: number;
  readonly rateLimitPerHour?: number;
  readonly rateLimitPerDay?: number;
  readonly budgetLimitCents?: number;
  /** Only beside `budgetLimitCents`; absent means `total`. */
  readonly budgetType?: 'total' | 'monthly';
  readonly defaultReserveTokens?: number;
  readonly validityDays?: number;
}

/**
 * What the keys of people without `platform:api-keys:update` must lie inside. It hangs on a role. A field that is
 * absent bounds nothing, so `{}` is the explicit way to say "no bounds".
 */
export interface KeyPolicy {
  /** Scopes a key may have: exact, or patterns with `*` by the same matcher as models. Empty: none at all. */
  readonly scopes?: readonly string[];
  /** Models and patterns inside which each entry of a key's list must lie; a key open to any model is outside. */
  readonly models?: readonly string[];
  /** Highest limits; a key without the limit is outside. */
  readonly maxRateLimitPerMinute?: number;
  readonly maxRateLimitPerHour?: number;
  readonly maxRateLimitPerDay?: number;
  /** Highest budget; an unlimited key is outside. */
  readonly maxBudgetLimitCents?: number;
  /**
   * What `maxBudgetLimitCents` is counted for, and only beside it. `total`: the key's budget must be a total one.
   * `monthly`, or absent: either kind, because who spends at most so much in total never spends more in a month.
   */
  readonly budgetType?: 'total' | 'monthly';
  /**
   * The most that calls of a key may hold without asking for it, of limits that other keys share. A key whose calls
   * hold nothing then is inside, so this bound is no default.
   */
  readonly maxDefaultReserveTokens?: number;
  /** Longest time from now to the expiry, and longest renewal; a key that never expires is outside. */
  readonly maxValidityDays?: number;
  /**
   * Tags that begin with one of these, in upper or lower case, are written and removed with `platform:api-keys:update`
   * alone, because services take them for what an administrator says of a key. The one field that adds up over roles.
   */
  readonly reservedTagPrefixes?: readonly string[];
  /** true: a key that is in no project is outside. */
  readonly mustBelongToProject?: boolean;
  readonly defaults?: KeyPolicyDefaults;
}

/** As much of a key as a policy bounds. */
export interface PolicyBoundKey {
  readonly scopes: readonly string[];
  readonly rateLimitPerMinute: number | null;
  readonly rateLimitPerHour: number | null;
  readonly rateLimitPerDay: number | null;
  readonly allowedModels: readonly string[];
  readonly tags: readonly string[];
  readonly budgetLimitMicroCents: bigint | null;
  readonly budgetType: 'total' | 'monthly' | null;
  readonly defaultReserveTokens: number | null;
  readonly expiresAt: Date | null;
  readonly validityDays: number | null;
}

/** A field of the API that lies outside, and the sentence to its owner. */
export interface PolicyViolation {
  readonly path: string;
  readonly message: string;
  readonly messageParts?: readonly SentencePart[];
}

type BoundField = FieldsWith<{ policyBound: string }>;

/** Does not compile while the table names a bound that a policy does not have. */
export type PolicyHasEveryBound = None<
  Exclude<(typeof API_KEY_FIELDS)[ApiKeyFieldName]['policyBound'], keyof KeyPolicy | null>
>;

const MS_PER_DAY = 86_400_000;
/** As many models as a key may list; a longer list is never filled in for anybody. */
const MAX_MODELS = API_KEY_FIELDS.allowedModels.schema.maxItems!;
const MAX_SCOPES = API_KEY_FIELDS.scopes.schema.maxItems!;

/**
 * The policy of a user with several roles: for each field the widest bound any of them gives, so a key inside one of
 * the policies is inside this one. Of the defaults, the widest that is stated.
 * A role without a policy (null) says nothing and removes nothing: `creator` beside `trial-plan` leaves the trial's
 * bounds as they are. Only where no role has a policy the answer is null: no bounds.
 * Reserved tags are the exception: what one role reserves is reserved, and a role that says nothing else says nothing
 * about the other bounds.
 */
export function widest(policies: readonly (KeyPolicy | null)[]): KeyPolicy | null {
  const all = policies.filter((policy) => policy !== null);
  if (all.length === 0) return null;
  const reservedTagPrefixes = ifAny(all, (policy) => policy.reservedTagPrefixes, union);
  const stated = all.filter((policy) => !reservesTagsAlone(policy));
  if (stated.length === 0) return { reservedTagPrefixes: reservedTagPrefixes! };
  const defaults = stated.flatMap((policy) => policy.defaults ?? []);
  const bounds: Answers<KeyPolicy> = {
    scopes: ifAll(stated, (policy) => policy.scopes, union),
    models: ifAll(stated, (policy) => policy.models, union),
    maxRateLimitPerMinute: ifAll(stated, (policy) => policy.maxRateLimitPerMinute, max),
    maxRateLimitPerHour: ifAll(stated, (policy) => policy.maxRateLimitPerHour, max),
    maxRateLimitPerDay: ifAll(stated, (policy) => policy.maxRateLimitPerDay, max),
    ...widestBudget(stated),
    maxDefaultReserveTokens: ifAll(stated, (policy) => policy.maxDefaultReserveTokens, max),
    maxValidityDays: ifAll(stated, (policy) => policy.maxValidityDays, max),
    reservedTagPrefixes,
    mustBelongToProject: ifAll(stated, (policy) => policy.mustBelongToProject, every),
    defaults: defaults.length === 0 ? undefined : widestDefaults(defaults),
  };
  return withoutUndefined<KeyPolicy>(bounds);
}

/**
 * Everything in which a key, as it would be after the change, lies outside the policy: API names, in the API's order.
 * Empty means inside, as any key is where the policy is null.
 */
export function violations(policy: KeyPolicy | null, key: PolicyBoundKey, now: Date): PolicyViolation[] {
  if (policy === null) return [];
  return Object.values(JUDGES).flatMap((judge) => judge(policy, key, now));
}

/** The violation by tags that a holder of the policy may not write, if there are any among `tags`. */
export function reservedTags(policy: KeyPolicy | null, tags: readonly string[]): PolicyViolation[] {
  const prefixes = (policy?.reservedTagPrefixes ?? []).map((prefix) => prefix.toLowerCase());
  const used = prefixes.filter((prefix) => tags.some((tag) => tag.toLowerCase().startsWith(prefix)));
  if (used.length === 0) return [];
  const message = `tags that begin with ${used.join(', ')} need the permission platform:api-keys:update`;
  return [{ path: 'tags', message }];
}

/** What each bound finds, in the API's order. The type of a budget is judged with its limit. */
const JUDGES: Readonly<Record<BoundField, (policy: KeyPolicy, key: PolicyBoundKey, now: Date) => PolicyViolation[]>> = {
  scopes: scopeViolations,
  rateLimitPerMinute: ({ maxRateLimitPerMinute }, { rateLimitPerMinute }) =>
    rateViolation('rateLimitPerMinute', rateLimitPerMinute, maxRateLimitPerMinute),
  rateLimitPerHour: ({ maxRateLimitPerHour }, { rateLimitPerHour }) =>
    rateViolation('rateLimitPerHour', rateLimitPerHour, maxRateLimitPerHour),
  rateLimitPerDay: ({ maxRateLimitPerDay }, { rateLimitPerDay }) =>
    rateViolation('rateLimitPerDay', rateLimitPerDay, maxRateLimitPerDay),
  allowedModels: modelViolations,
  budgetLimitCents: budgetViolations,
  budgetType: () => [],
  defaultReserveTokens: ({ maxDefaultReserveTokens: bound }, { defaultReserveTokens: tokens }) =>
    bound === undefined || tokens === null || tokens <= bound
      ? []
      : [{ path: 'defaultReserveTokens', message: `must be at most ${bound}` }],
  tags: (policy, { tags }) => reservedTags(policy, tags),
  expiresAt: expiryViolations,
  validityDays: ({ maxValidityDays: days }, { validityDays }) =>
    days === undefined || validityDays === null || validityDays <= days
      ? []
      : [{ path: 'validityDays', message: `must be at most ${days}` }],
};

/** Whether the policy says nothing but which tags are reserved; `{}` says that there are no bounds. */
function reservesTagsAlone(policy: KeyPolicy): boolean {
  const stated = Object.entries(policy).filter(([, value]) => value !== undefined);
  return stated.length === 1 && stated[0]![0] === 'reservedTagPrefixes';
}

/**
 * Fills the fields that the creator of a key left out (undefined); what was given, null included, stays and is judged
 * by {@link violations}. Where the policy bounds a field and states no default for it, the bound itself is the
 * default, so that a key made of nothing lies inside every policy. Limit and type of a budget are filled in together
 * or not at all. The tokens that calls hold unasked are filled in from a default alone. Where the policy says anything
 * about validity, an expiry left out is `validityDays` (given or filled
 * in) from now. (The one exception: the models of several policies, if they are more than a key may list, are not
 * filled in.)
 */
export function withDefaults<T extends Partial<PolicyBoundKey>>(
  policy: KeyPolicy | null,
  given: T,
  now: Date,
): T & Partial<PolicyBoundKey> {
  if (policy === null) return given;
  const { defaults = {} } = policy;
  const validityDays = defaults.validityDays ?? policy.maxValidityDays;
  const filled = {
    scopes: upTo(MAX_SCOPES, defaults.scopes),
    rateLimitPerMinute: defaults.rateLimitPerMinute ?? policy.maxRateLimitPerMinute,
    rateLimitPerHour: defaults.rateLimitPerHour ?? policy.maxRateLimitPerHour,
    rateLimitPerDay: defaults.rateLimitPerDay ?? policy.maxRateLimitPerDay,
    allowedModels: upTo(MAX_MODELS, defaults.allowedModels ?? policy.models),
    ...(given.budgetLimitMicroCents === undefined ? defaultBudget(policy) : {}),
    defaultReserveTokens: defaults.defaultReserveTokens,
    expiresAt: validityDays === undefined ? undefined : expiryIn(given.validityDays ?? validityDays, now),
    validityDays,
  };
  return { ...given, ...withoutUndefined(filled), ...withoutUndefined(given) };
}

function expiryIn(days: number, now: Date): Date {
  return new Date(now.getTime() + days * MS_PER_DAY);
}

function widestBudget(policies: readonly KeyPolicy[]): Pick<Answers<KeyPolicy>, 'maxBudgetLimitCents' | 'budgetType'> {
  const maxBudgetLimitCents = ifAll(policies, (policy) => policy.maxBudgetLimitCents, max);
  if (maxBudgetLimitCents === undefined) return { maxBudgetLimitCents, budgetType: undefined };
  return { maxBudgetLimitCents, budgetType: ifAll(policies, (policy) => policy.budgetType, widerType) };
}

function widestDefaults(defaults: readonly KeyPolicyDefaults[]): KeyPolicyDefaults {
  const budgets = defaults.filter(({ budgetLimitCents }) => budgetLimitCents !== undefined);
  const widened: Answers<KeyPolicyDefaults> = {
    scopes: ifAny(defaults, (one) => one.scopes, union),
    allowedModels: ifAny(defaults, (one) => one.allowedModels, unionUnlessAny),
    rateLimitPerMinute: ifAny(defaults, (one) => one.rateLimitPerMinute, max),
    rateLimitPerHour: ifAny(defaults, (one) => one.rateLimitPerHour, max),
    rateLimitPerDay: ifAny(defaults, (one) => one.rateLimitPerDay, max),
    budgetLimitCents: ifAny(budgets, (one) => one.budgetLimitCents, max),
    budgetType: ifAny(budgets, (one) => one.budgetType ?? 'total', widerType),
    // Who holds fewer passes sooner.
    defaultReserveTokens: ifAny(defaults, (one) => one.defaultReserveTokens, min),
    validityDays: ifAny(defaults, (one) => one.validityDays, max),
  };
  return withoutUndefined<KeyPolicyDefaults>(widened);
}

function defaultBudget({ defaults, maxBudgetLimitCents, budgetType }: KeyPolicy): Partial<PolicyBoundKey> {
  if (defaults?.budgetLimitCents !== undefined) {
    const budgetLimitMicroCents = microCentsFromCents(defaults.budgetLimitCents);
    return { budgetLimitMicroCents, budgetType: defaults.budgetType ?? 'total' };
  }
  if (maxBudgetLimitCents === undefined) return {};
  return { budgetLimitMicroCents: microCentsFromCents(maxBudgetLimitCents), budgetType: budgetType ?? 'total' };
}

function scopeViolations(policy: KeyPolicy, key: PolicyBoundKey): PolicyViolation[] {
  const { scopes } = policy;
  if (scopes === undefined) return [];
  return entriesOutside('scopes', scopes, key.scopes);
}

function modelViolations(policy: KeyPolicy, key: PolicyBoundKey): PolicyViolation[] {
  const { models } = policy;
  if (models === undefined) return [];
  if (key.allowedModels.length > 0) return entriesOutside('allowedModels', models, key.allowedModels);
  return [{ path: 'allowedModels', message: 'must list models, because your policy restricts them' }];
}

/** An entry that is a pattern has to lie inside a single pattern of the policy, which the same matcher decides. */
function entriesOutside(path: string, allowed: readonly string[], entries: readonly string[]): PolicyViolation[] {
  const outside = entries.filter((entry) => !matchesAny(allowed, entry));
  if (outside.length === 0) return [];
  const more = outside.length > 3 ? ` and ${outside.length - 3} more` : '';
  return [{ path, message: `must not contain ${outside.slice(0, 3).join(', ')}${more}` }];
}

function rateViolation(path: string, limit: number | null, bound: number | undefined): PolicyViolation[] {
  if (bound === undefined || (limit !== null && limit <= bound)) return [];
  return [{ path, message: `must be at most ${bound}` }];
}

function budgetViolations(policy: KeyPolicy, key: PolicyBoundKey): PolicyViolation[] {
  const { maxBudgetLimitCents, budgetType } = policy;
  if (maxBudgetLimitCents === undefined) return [];
  const bound = inParts`at most ${{ cents: maxBudgetLimitCents }}`;
  if (key.budgetLimitMicroCents === null) {
    return [violation('isUnlimited', inParts`must be false, with a budgetLimitCents of ${bound}`)];
  }
  const found: PolicyViolation[] = [];
  if (key.budgetLimitMicroCents > microCentsFromCents(maxBudgetLimitCents)) {
    found.push(violation('budgetLimitCents', inParts`must be ${bound}`));
  }
  if (budgetType === 'total' && key.budgetType !== 'total') {
    found.push({ path: 'budgetType', message: 'must be total' });
  }
  return found;
}

function violation(path: string, messageParts: readonly SentencePart[]): PolicyViolation {
  return { path, message: written(messageParts), messageParts };
}

function expiryViolations({ maxValidityDays: days }: KeyPolicy, key: PolicyBoundKey, now: Date): PolicyViolation[] {
  if (days === undefined || (key.expiresAt !== null && key.expiresAt <= expiryIn(days, now))) return [];
  return [{ path: 'expiresAt', message: `must be at most ${days} days from now` }];
}

/** Combines a bound that all of them state; one that does not bounds nothing, and so is the widest. */
function ifAll<P, V>(all: readonly P[], read: (one: P) => V | undefined, combine: (values: V[]) => V): V | undefined {
  const values = all.map(read).filter((value) => value !== undefined);
  return values.length === all.length ? combine(values) : undefined;
}

/** Combines what some of them state. */
function ifAny<P, V>(all: readonly P[], read: (one: P) => V | undefined, combine: (values: V[]) => V): V | undefined {
  const values = all.map(read).filter((value) => value !== undefined);
  return values.length > 0 ? combine(values) : undefined;
}

function every(values: readonly boolean[]): boolean {
  return values.every(Boolean);
}

function max(values: readonly number[]): number {
  return Math.max(...values);
}

function min(values: readonly number[]): number {
  return Math.min(...values);
}

function union(lists: readonly (readonly string[])[]): readonly string[] {
  return [...new Set(lists.flat())];
}

/** Of lists that mean "any" when they are empty. */
function unionUnlessAny(lists: readonly (readonly string[])[]): readonly string[] {
  return lists.some((list) => list.length === 0) ? [] : union(lists);
}

function widerType(types: readonly ('total' | 'monthly')[]): 'total' | 'monthly' {
  return types.includes('monthly') ? 'monthly' : 'total';
}

function upTo(length: number, list: readonly string[] | undefined): readonly string[] | undefined {
  return list !== undefined && list.length <= length ? list : undefined;
}

/** An answer for every member, so that a forgotten one does not compile. */
type Answers<T extends object> = { readonly [Name in keyof Required<T>]: T[Name] | undefined };

function withoutUndefined<T extends object>(fields: Answers<T> | T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
