import type { LimitMember, LimitPeriod, LimitTargetKind, LimitUnit } from '../../../packages/contract/src/limit.js';

export { LIMIT_PERIODS, LIMIT_TARGETS, LIMIT_UNITS } from '../../../packages/contract/src/limit.js';
export type { LimitMember, LimitPeriod, LimitUnit, LimitTargetKind as LimitTarget };

/** As much of a limit as a replica remembers: which calls it binds, and what to call it. Amounts are the database's. */
export interface LimitFacts {
  readonly id: string;
  readonly name: string;
  readonly target: LimitTargetKind;
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
