import type { KeyPolicy } from '../../../src/access/key-policy.js';
import type { Role } from '../api/client';
import { centsOf } from '../keys/key-draft';
import { type OtherBounds, otherBoundsFrom, otherBoundsOf } from './other-bounds';

/** A number as a form holds it. */
export type Number_ = number | '';

/** A role as its form holds it. */
export interface RoleDraft extends OtherBounds {
  name: string;
  description: string;
  permissions: string[];
  isActive: boolean;
  hasPolicy: boolean;
  boundsScopes: boolean;
  scopes: string[];
  boundsModels: boolean;
  models: string[];
  perMinute: Number_;
  perHour: Number_;
  perDay: Number_;
  budget: Number_;
  budgetType: 'monthly' | 'total';
  heldTokens: Number_;
  validityDays: Number_;
  hasDefaults: boolean;
  defaults: {
    fillsScopes: boolean;
    scopes: string[];
    fillsModels: boolean;
    models: string[];
    perMinute: Number_;
    perHour: Number_;
    perDay: Number_;
    budget: Number_;
    budgetType: 'monthly' | 'total';
    heldTokens: Number_;
    validityDays: Number_;
  };
}

/** The draft of a role that there is, or of a new one. */
export function draftOf(role: Role | null): RoleDraft {
  const policy = (role?.keyPolicy ?? null) as KeyPolicy | null;
  return {
    name: role?.name ?? '',
    description: role?.description ?? '',
    permissions: [...(role?.permissions ?? [])],
    isActive: role?.isActive ?? true,
    hasPolicy: policy !== null,
    boundsScopes: policy?.scopes !== undefined,
    scopes: [...(policy?.scopes ?? [])],
    boundsModels: policy?.models !== undefined,
    models: [...(policy?.models ?? [])],
    perMinute: policy?.maxRateLimitPerMinute ?? '',
    perHour: policy?.maxRateLimitPerHour ?? '',
    perDay: policy?.maxRateLimitPerDay ?? '',
    budget: policy?.maxBudgetLimitCents === undefined ? '' : policy.maxBudgetLimitCents / 100,
    budgetType: policy?.budgetType ?? 'monthly',
    heldTokens: policy?.maxDefaultReserveTokens ?? '',
    validityDays: policy?.maxValidityDays ?? '',
    ...otherBoundsFrom(policy),
    hasDefaults: policy?.defaults !== undefined,
    defaults: {
      fillsScopes: policy?.defaults?.scopes !== undefined,
      scopes: [...(policy?.defaults?.scopes ?? [])],
      fillsModels: policy?.defaults?.allowedModels !== undefined,
      models: [...(policy?.defaults?.allowedModels ?? [])],
      perMinute: policy?.defaults?.rateLimitPerMinute ?? '',
      perHour: policy?.defaults?.rateLimitPerHour ?? '',
      perDay: policy?.defaults?.rateLimitPerDay ?? '',
      budget: policy?.defaults?.budgetLimitCents === undefined ? '' : policy.defaults.budgetLimitCents / 100,
      budgetType: policy?.defaults?.budgetType ?? 'total',
      heldTokens: policy?.defaults?.defaultReserveTokens ?? '',
      validityDays: policy?.defaults?.validityDays ?? '',
    },
  };
}

function policyOf(draft: RoleDraft): KeyPolicy | null {
  if (!draft.hasPolicy) return null;
  return {
    ...(draft.boundsScopes ? { scopes: draft.scopes } : {}),
    ...(draft.boundsModels ? { models: draft.models } : {}),
    ...(draft.perMinute === '' ? {} : { maxRateLimitPerMinute: draft.perMinute }),
    ...(draft.perHour === '' ? {} : { maxRateLimitPerHour: draft.perHour }),
    ...(draft.perDay === '' ? {} : { maxRateLimitPerDay: draft.perDay }),
    ...(draft.budget === '' ? {} : { maxBudgetLimitCents: centsOf(draft.budget), budgetType: draft.budgetType }),
    ...(draft.heldTokens === '' ? {} : { maxDefaultReserveTokens: draft.heldTokens }),
    ...(draft.validityDays === '' ? {} : { maxValidityDays: draft.validityDays }),
    ...otherBoundsOf(draft),
    ...(draft.hasDefaults ? { defaults: defaultsOf(draft.defaults) } : {}),
  };
}

type RoleBody = ReturnType<typeof bodyOf>;

/** What is sent for a draft. */
export function bodyOf(draft: RoleDraft) {
  const { description, permissions, isActive } = draft;
  return { description, permissions, isActive, keyPolicy: policyOf(draft) as Record<string, unknown> | null };
}

/** What differs of two bodies: what was not touched stays as it is on the server. */
export function changedIn(body: RoleBody, before: RoleBody): Partial<RoleBody> {
  const names = Object.keys(body) as (keyof RoleBody)[];
  return Object.fromEntries(
    names
      .filter((name) => JSON.stringify(body[name]) !== JSON.stringify(before[name]))
      .map((name) => [name, body[name]]),
  );
}

function defaultsOf(defaults: RoleDraft['defaults']): KeyPolicy['defaults'] {
  return {
    ...(defaults.fillsScopes ? { scopes: defaults.scopes } : {}),
    ...(defaults.fillsModels ? { allowedModels: defaults.models } : {}),
    ...(defaults.perMinute === '' ? {} : { rateLimitPerMinute: defaults.perMinute }),
    ...(defaults.perHour === '' ? {} : { rateLimitPerHour: defaults.perHour }),
    ...(defaults.perDay === '' ? {} : { rateLimitPerDay: defaults.perDay }),
    ...(defaults.budget === '' ? {} : { budgetLimitCents: centsOf(defaults.budget), budgetType: defaults.budgetType }),
    ...(defaults.heldTokens === '' ? {} : { defaultReserveTokens: defaults.heldTokens }),
    ...(defaults.validityDays === '' ? {} : { validityDays: defaults.validityDays }),
  };
}
