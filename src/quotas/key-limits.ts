import type { Account, BudgetType, RateWindow } from './quota-store.js';

/** As much of a key as its budgets and windows depend on. */
export interface LimitedKey {
  readonly id: string;
  readonly rateLimitPerMinute: number | null;
  readonly rateLimitPerHour: number | null;
  readonly rateLimitPerDay: number | null;
  readonly budgetLimitMicroCents: bigint | null;
  readonly budgetType: BudgetType | null;
}

/** What a call of a key draws from: made once for a record, so that no call allocates it. */
export interface KeyLimits {
  readonly accounts: readonly Account[];
  /** Shortest first, as answers list them. */
  readonly windows: readonly RateWindow[];
}

/** The accounts and windows of one key; a list each, so that shared budgets can come without a new protocol. */
export function limitsOf(key: LimitedKey): KeyLimits {
  const windows: RateWindow[] = [];
  if (key.rateLimitPerMinute !== null) windows.push({ id: key.id, window: 'minute', limit: key.rateLimitPerMinute });
  if (key.rateLimitPerHour !== null) windows.push({ id: key.id, window: 'hour', limit: key.rateLimitPerHour });
  if (key.rateLimitPerDay !== null) windows.push({ id: key.id, window: 'day', limit: key.rateLimitPerDay });
  const isLimited = key.budgetLimitMicroCents !== null && key.budgetType !== null;
  // A list that grew has room for more; a copy has not, and a replica holds one for each of its keys.
  return { accounts: isLimited ? [{ id: key.id, type: key.budgetType }] : [], windows: windows.slice() };
}
