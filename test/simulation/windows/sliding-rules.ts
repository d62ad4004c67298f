import { boundBy, limitsOf, windowsFor } from '../../../src/quotas/key-limits.js';
import type { LimitFacts } from '../../../src/quotas/limits/limit-facts.js';
import type { RateWindow } from '../../../src/quotas/quota-store.js';

/** A limit of requests by minute or hour. `installation` has the id `''`. */
export interface SlidingRule {
  readonly id: string;
  readonly target: { readonly kind: 'owner' | 'project' | 'installation'; readonly id: string };
  readonly each: 'key' | 'owner' | null;
  readonly per: 'minute' | 'hour';
  readonly models: readonly string[];
  amount: number;
  mode: 'enforce' | 'observe';
  /** By member; `untilMs` null: for good. */
  readonly overrides: Map<string, { readonly amount: number; readonly untilMs: number | null }>;
  isDeleted: boolean;
}

/** As much of a key as its windows depend on. */
export interface SlidingKey {
  readonly id: string;
  ownerId: string;
  projectId: string;
  readonly perMinute: number | null;
}

/** What decides which windows a call draws from. A replica has a copy, which may be late. */
export interface SlidingRules {
  readonly keys: ReadonlyMap<string, SlidingKey>;
  readonly limits: ReadonlyMap<string, SlidingRule>;
}

/** A copy that later changes do not reach. */
export function copyOf({ keys, limits }: SlidingRules): SlidingRules {
  return {
    keys: new Map([...keys].map(([id, key]) => [id, { ...key }])),
    limits: new Map([...limits].map(([id, one]) => [id, { ...one }])),
  };
}

/** The limits that bind a key, of whatever models. */
export function bindingRules(rules: SlidingRules, key: SlidingKey): SlidingRule[] {
  const ids = { owner: key.ownerId, project: key.projectId, installation: '' };
  return [...rules.limits.values()].filter(({ target, isDeleted }) => !isDeleted && ids[target.kind] === target.id);
}

/** The windows of a call as a replica finds them. */
export function windowsOfCall(rules: SlidingRules, keyId: string, model: string | undefined): readonly RateWindow[] {
  const key = rules.keys.get(keyId)!;
  const facts = bindingRules(rules, key).map(({ id, target, each, per, models }): LimitFacts => ({
    ...{ id, name: id, target: target.kind, unit: 'requests', per, each, models },
  }));
  const own = limitsOf({
    ...{ id: key.id, rateLimitPerMinute: key.perMinute, rateLimitPerHour: null, rateLimitPerDay: null },
    ...{ budgetLimitMicroCents: null, budgetType: null },
  });
  return windowsFor(boundBy(own, key, facts), model);
}

/** The amount in force; null: the limit refuses nothing. */
export function amountInForce(rule: SlidingRule | undefined, member: string | null, ms: number): number | null {
  if (rule === undefined || rule.isDeleted || rule.mode === 'observe') return null;
  const override = rule.overrides.get(member ?? '');
  return override !== undefined && (override.untilMs ?? Infinity) > ms ? override.amount : rule.amount;
}
