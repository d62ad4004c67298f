import type { KeyPolicy } from '../../../src/access/key-policy.js';
import type { ApiKey, Schemas } from '../api/client';
import { count, local, money, toInstant, toLocalInput } from '../ui/format';
import {
  API_KEY_FIELDS,
  type ApiKeyField,
  type ApiKeyFieldName,
  type FieldsWith,
  type None,
} from '../../../packages/contract/src/api-key-fields';
import { MAX_CENTS } from '../../../packages/contract/src/grammar';
import { faultsOf } from '../../../packages/contract/src/schema';
import { bodyOfMore, emptyMore, type MoreFields, moreOf } from './more-fields';

/** A key as the form holds it. Empty text stands for null. */
export interface KeyDraft {
  name: string;
  description: string;
  alias: string;
  environment: 'live' | 'test';
  ownerId: string | null;
  /** The project of a new key; null: none. */
  projectId: string | null;
  /** Whether another owner than oneself draws the secret of a new key. */
  handOver: boolean;
  scopes: string[];
  roles: string[];
  rateLimitPerMinute: number | '';
  rateLimitPerHour: number | '';
  rateLimitPerDay: number | '';
  allowedIps: string[];
  allowedModels: string[];
  allowedChatbots: string[];
  hasBudget: boolean;
  /** In whole units of the currency, as people say it: 5 is 500 cents. */
  budget: number | '';
  budgetType: 'total' | 'monthly';
  defaultReserveTokens: number | '';
  tags: string[];
  metadata: { name: string; value: string }[];
  expiresAt: string;
  validityDays: number | '';
  /** Fields that have no place of their own in the form. */
  more: MoreFields;
}

/** Fields that have a place of their own in the form. */
type OwnField = FieldsWith<{ inForm: 'own' }>;

/** Does not compile while the draft lacks a field that has a place of its own; a budget is held as an amount. */
export type EveryOwnField = None<Exclude<OwnField, keyof KeyDraft | 'isUnlimited' | 'budgetLimitCents'>>;

const IN_FORM = (Object.entries(API_KEY_FIELDS) as [ApiKeyFieldName, ApiKeyField][]).filter(
  ([, { inForm }]) => inForm !== 'none',
);

/** The API fields that the form shows an error beside. */
export const FIELDS: readonly string[] = ['ownerId', 'projectId', ...IN_FORM.map(([name]) => name)];

const DAY_MS = 86_400_000;

/** A new key, filled in with what the policy of one's roles gives. */
export function emptyDraft(policy: KeyPolicy | null, now = Date.now()): KeyDraft {
  const { defaults = {} } = policy ?? {};
  const validityDays = defaults.validityDays ?? policy?.maxValidityDays;
  const budgetCents = defaults.budgetLimitCents ?? policy?.maxBudgetLimitCents;
  return {
    name: '',
    description: '',
    alias: '',
    environment: 'live',
    ownerId: null,
    projectId: null,
    handOver: true,
    scopes: [...(defaults.scopes ?? [])],
    roles: [],
    rateLimitPerMinute: defaults.rateLimitPerMinute ?? policy?.maxRateLimitPerMinute ?? '',
    rateLimitPerHour: defaults.rateLimitPerHour ?? policy?.maxRateLimitPerHour ?? '',
    rateLimitPerDay: defaults.rateLimitPerDay ?? policy?.maxRateLimitPerDay ?? '',
    allowedIps: [],
    allowedModels: [...(defaults.allowedModels ?? policy?.models ?? [])],
    allowedChatbots: [],
    hasBudget: budgetCents !== undefined,
    budget: budgetCents === undefined ? '' : budgetCents / 100,
    budgetType:
      (defaults.budgetLimitCents === undefined ? policy?.budgetType : defaults.budgetType) ??
      (budgetCents === undefined ? 'monthly' : 'total'),
    defaultReserveTokens: defaults.defaultReserveTokens ?? '',
    tags: [],
    metadata: [],
    // A minute short of the bound, so that filling in the form does not make it too late.
    expiresAt: validityDays === undefined ? '' : toLocalInput(new Date(now + validityDays * DAY_MS - 60_000)),
    validityDays: validityDays ?? '',
    more: emptyMore(),
  };
}

/** A key that there is, to be changed. */
export function draftOf(key: ApiKey): KeyDraft {
  return {
    name: key.name,
    description: key.description ?? '',
    alias: key.alias ?? '',
    environment: key.environment,
    ownerId: key.ownerId,
    projectId: key.projectId,
    handOver: false,
    scopes: [...key.scopes],
    roles: [...key.roles],
    rateLimitPerMinute: key.rateLimitPerMinute ?? '',
    rateLimitPerHour: key.rateLimitPerHour ?? '',
    rateLimitPerDay: key.rateLimitPerDay ?? '',
    allowedIps: [...key.allowedIps],
    allowedModels: [...key.allowedModels],
    allowedChatbots: [...key.allowedChatbots],
    hasBudget: key.budgetLimitCents !== null,
    budget: key.budgetLimitCents === null ? '' : key.budgetLimitCents / 100,
    budgetType: key.budgetType ?? 'monthly',
    defaultReserveTokens: key.defaultReserveTokens ?? '',
    tags: [...key.tags],
    metadata: Object.entries(key.metadata).map(([name, value]) => ({ name, value: String(value) })),
    expiresAt: key.expiresAt === null ? '' : toLocalInput(key.expiresAt),
    validityDays: key.validityDays ?? '',
    more: moreOf(key),
  };
}

/** The most money that one field of the API takes. */
export const MAX_MONEY = MAX_CENTS / 100;

/** Cents of an amount as people say it, with the API's six decimals. */
export function centsOf(amount: number): number {
  return Math.round(amount * 1e8) / 1e6;
}

/** The draft as the API takes it. */
export function bodyOf(draft: KeyDraft): Schemas['CreateApiKeyDto'] {
  const orNull = <T>(value: T | ''): T | null => (value === '' ? null : value);
  const own = {
    name: draft.name,
    description: orNull(draft.description),
    alias: orNull(draft.alias),
    environment: draft.environment,
    scopes: draft.scopes,
    roles: draft.roles,
    rateLimitPerMinute: orNull(draft.rateLimitPerMinute),
    rateLimitPerHour: orNull(draft.rateLimitPerHour),
    rateLimitPerDay: orNull(draft.rateLimitPerDay),
    allowedIps: draft.allowedIps,
    allowedModels: draft.allowedModels,
    allowedChatbots: draft.allowedChatbots,
    isUnlimited: !draft.hasBudget,
    budgetLimitCents: draft.hasBudget ? centsOf(Number(draft.budget)) : undefined,
    budgetType: draft.hasBudget ? draft.budgetType : undefined,
    defaultReserveTokens: orNull(draft.defaultReserveTokens),
    tags: draft.tags,
    metadata: Object.fromEntries(
      draft.metadata.filter(({ name }) => name !== '').map(({ name, value }) => [name, value]),
    ),
    expiresAt: draft.expiresAt === '' ? null : toInstant(draft.expiresAt),
    validityDays: orNull(draft.validityDays),
  } satisfies Readonly<Record<OwnField, unknown>>;
  return { ...own, ...(draft.ownerId === null ? {} : { ownerId: draft.ownerId }), ...bodyOfMore(draft.more) };
}

/** Only the fields that differ: an owner, who may only narrow, is not asked about fields that were not touched. */
export function changesOf(before: KeyDraft, after: KeyDraft): Schemas['UpdateApiKeyDto'] {
  const { environment: _environment, ownerId: _owner, ...old } = bodyOf(before);
  const { environment: _newEnvironment, ownerId: _newOwner, ...next } = bodyOf(after);
  const changed = Object.entries(next).filter(
    ([name, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(old[name as keyof typeof old]),
  );
  const names = new Set(changed.map(([name]) => name));
  // A budget is said whole: limit and kind mean nothing without each other.
  const budget =
    ['isUnlimited', 'budgetLimitCents', 'budgetType'].some((name) => names.has(name)) && after.hasBudget
      ? {
          isUnlimited: false,
          budgetLimitCents: next.budgetLimitCents,
          ...(names.has('budgetType') ? { budgetType: next.budgetType } : {}),
        }
      : {};
  return { ...(Object.fromEntries(changed) as Schemas['UpdateApiKeyDto']), ...budget };
}

/** What can be said before asking the server, beside its field; in the server's sentences. */
export function problemsOf(draft: KeyDraft): Record<string, string | null> {
  const body: Readonly<Record<string, unknown>> = bodyOf(draft);
  const said = Object.fromEntries(IN_FORM.map(([name, field]) => [name, faultOf(field, body[name])]));
  const names = draft.metadata.map(({ name }) => name).filter((name) => name !== '');
  return {
    ...said,
    name: draft.name.trim() === '' ? 'a name is needed' : (said['name'] ?? null),
    budgetLimitCents:
      draft.hasBudget && (draft.budget === '' || draft.budget < 0)
        ? 'an amount of 0 or more is needed'
        : (said['budgetLimitCents'] ?? null),
    metadata: new Set(names).size !== names.length ? 'a name appears twice' : (said['metadata'] ?? null),
  };
}

/** The first thing that is wrong with a value of the field, with the entry of a list that it is about; or null. */
function faultOf({ schema, isNullable }: ApiKeyField, value: unknown): string | null {
  if (value === undefined || (value === null && isNullable)) return null;
  const [fault] = faultsOf(schema, value);
  if (fault === undefined) return null;
  return Array.isArray(value) && fault.path !== ''
    ? `“${String(value[Number(fault.path)])}” ${fault.message}`
    : fault.message;
}

/** The key in a sentence, as one would tell a colleague. */
export function inWords(draft: KeyDraft, now = Date.now()): string {
  const models = draft.allowedModels.length === 0 ? 'any model' : listed(draft.allowedModels);
  const from = draft.allowedIps.length === 0 ? 'any address' : listed(draft.allowedIps);
  const limits = [
    draft.rateLimitPerMinute === '' ? null : `${count(draft.rateLimitPerMinute)} per minute`,
    draft.rateLimitPerHour === '' ? null : `${count(draft.rateLimitPerHour)} per hour`,
    draft.rateLimitPerDay === '' ? null : `${count(draft.rateLimitPerDay)} per day`,
  ].filter((one) => one !== null);
  const sentences = [
    `May call ${models}${draft.allowedChatbots.length > 0 ? ` with ${listed(draft.allowedChatbots)}` : ''} from ${from}`,
    limits.length === 0 ? 'without a rate limit' : limits.join(' and '),
    draft.hasBudget && draft.budget !== ''
      ? draft.budget === 0
        ? 'with a budget of nothing, so that every call is refused'
        : `${money(centsOf(draft.budget))} ${draft.budgetType === 'monthly' ? 'per month' : 'in total'}`
      : 'without a budget',
  ].join(', ');
  const scopes =
    draft.scopes.length === 0
      ? 'It holds no scopes.'
      : `It holds the ${draft.scopes.length === 1 ? 'scope' : 'scopes'} ${listed(draft.scopes, 'and')}.`;
  const roles =
    draft.roles.length === 0
      ? ''
      : ` Within Latchkey it acts as ${listed(draft.roles, 'and')}, as far as its owner may.`;
  const ends =
    draft.expiresAt === ''
      ? 'It never expires.'
      : new Date(draft.expiresAt).getTime() < now
        ? `It expired on ${local(draft.expiresAt)}.`
        : `It expires on ${local(draft.expiresAt)}.`;
  return `${sentences}. ${scopes}${roles} ${ends}`;
}

function listed(values: readonly string[], last: 'and' | 'or' = 'or'): string {
  if (values.length <= 4)
    return values.length < 2 ? (values[0] ?? '') : `${values.slice(0, -1).join(', ')} ${last} ${values.at(-1)}`;
  return `${values.slice(0, 3).join(', ')} and ${values.length - 3} more`;
}
