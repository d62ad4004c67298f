/** What a limit is of. */
export const LIMIT_TARGETS = ['key', 'owner', 'project', 'installation'] as const;
export type LimitTarget = (typeof LIMIT_TARGETS)[number];

/** What a limit counts; `slots`: calls in flight. */
export const LIMIT_UNITS = ['cents', 'tokens', 'requests', 'slots'] as const;
export type LimitUnit = (typeof LIMIT_UNITS)[number];

/** How often a limit starts anew; `total`: never; `minute` and `hour`: what was used longer ago does not count. */
export const LIMIT_PERIODS = ['minute', 'hour', 'day', 'week', 'month', 'total'] as const;
export type LimitPeriod = (typeof LIMIT_PERIODS)[number];

/**
 * Who has an account of its own: each key, each owner of keys, or each subject of calls, that the limit binds. A
 * subject is the end user of a key as the caller of a verify names it.
 */
export type LimitMember = 'key' | 'owner' | 'subject';

/** As much of a limit as a replica remembers: which calls it binds, and what to call it. Amounts are the database's. */
export interface LimitFacts {
  readonly id: string;
  readonly name: string;
  readonly target: LimitTarget;
  readonly unit: LimitUnit;
  /** Null: `slots`, which have no period. */
  readonly per: LimitPeriod | null;
  /** Null: all calls of the target share one account. */
  readonly each: LimitMember | null;
  /** Patterns; empty: every call. A call that names no model is bound whatever they are. */
  readonly models: readonly string[];
  /** It only observes: a call without a subject passes, where it has an account for each. */
  readonly observes?: boolean;
}

/** No limits: one list for all that have none. */
export const NO_LIMITS: readonly LimitFacts[] = Object.freeze([]);
