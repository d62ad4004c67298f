import type { BudgetType } from '../../../src/quotas/quota-store.js';
import { monthEnd, monthOf } from '../../../src/quotas/period.js';
import { periodAt, periodNamed } from './zone-periods.js';
import type { CalendarPer, ZonePeriod } from './zone-periods.js';

/** What a limit is on. `installation` has the id `''`. */
export type TargetKind = 'key' | 'owner' | 'project' | 'installation';

/** A row of `quota_limit`; its amounts are in its unit. */
export interface LimitRow {
  readonly id: string;
  readonly target: { readonly kind: TargetKind; readonly id: string };
  /** Null: all calls of the target share one account; else each key, owner or subject of calls has its own. */
  readonly each: 'key' | 'owner' | 'subject' | null;
  readonly unit: 'cents' | 'tokens' | 'requests';
  readonly per: CalendarPer | 'total';
  readonly timeZone: string;
  amount: bigint;
  /** Exact names; a call that names no model matches too. Empty: all calls. */
  readonly models: readonly string[];
  readonly mode: 'enforce' | 'observe';
  /** By member; `untilMs` null: for good. */
  readonly overrides: Map<string, { readonly amount: bigint; readonly untilMs: number | null }>;
  isDeleted: boolean;
}

/** As much of a key's row as limits depend on. */
export interface KeyRow {
  readonly id: string;
  ownerId: string;
  projectId: string | null;
  budget: bigint | null;
  readonly type: BudgetType;
}

/** Everything that decides which accounts a call draws from. A replica has a copy, which may be late. */
export interface Rules {
  readonly keys: Map<string, KeyRow>;
  readonly limits: Map<string, LimitRow>;
}

/** A copy that later changes do not reach. */
export function copyOf(rules: Rules): Rules {
  return {
    keys: new Map([...rules.keys].map(([id, key]) => [id, { ...key }])),
    limits: new Map([...rules.limits].map(([id, one]) => [id, { ...one, overrides: new Map(one.overrides) }])),
  };
}

/** The account of a limit for a call of a key: the limit's own, or one for its member. */
export function accountIdOf(limit: LimitRow, key: KeyRow, subject: string | null): string {
  if (limit.each === null) return limit.id;
  const members = { key: key.id, owner: key.ownerId, subject: subject ?? '' };
  return `${limit.id}/${members[limit.each]}`;
}

/** The limit and the member that an account id names; null for the account of a key's own budget. */
export function namedBy(accountId: string, limits: Map<string, LimitRow>): { limit: LimitRow; member: string } | null {
  const [limitId = '', member = ''] = accountId.split('/');
  const limit = limits.get(limitId);
  return limit === undefined ? null : { limit, member };
}

/** The most that an account may hold at an instant, overrides included. */
export function amountAt(limit: LimitRow, member: string, ms: number): bigint {
  const override = limit.overrides.get(member);
  const isInForce = override !== undefined && (override.untilMs === null || ms < override.untilMs);
  return isInForce ? override.amount : limit.amount;
}

/** When the override ends that is in force; Infinity: never, or there is none. */
export function overrideEnd(limit: LimitRow, member: string, ms: number): number {
  const untilMs = limit.overrides.get(member)?.untilMs ?? null;
  return untilMs !== null && ms < untilMs ? untilMs : Infinity;
}

/** A period without an end; that of `total`. */
export const FOR_GOOD: ZonePeriod = { name: 'total', startMs: -Infinity, endMs: Infinity };

/** The period of a limit at an instant. */
export function limitPeriodAt(limit: LimitRow, ms: number): ZonePeriod {
  return limit.per === 'total' ? FOR_GOOD : periodAt(limit.per, ms, limit.timeZone);
}

/** The period that an account's row names. A key's own are `total` and months of UTC. */
export function accountPeriod(limit: LimitRow | null, name: string): ZonePeriod {
  if (name === 'total') return FOR_GOOD;
  if (limit !== null && limit.per !== 'total') return periodNamed(limit.per, name, limit.timeZone);
  return { name, startMs: Date.parse(`${name}T00:00:00Z`), endMs: monthEnd(name) };
}

/** The period of a key's own budget at an instant. */
export function ownPeriodAt(type: BudgetType, ms: number): ZonePeriod {
  return accountPeriod(null, type === 'total' ? 'total' : monthOf(ms));
}
