import type { LimitMember, LimitPeriod, LimitTarget, LimitUnit } from './limit-facts.js';

/**
 * A row of `quota_limit`; amounts are in its unit, those of cents in micro-cents. What says which account a call is
 * charged to, and in what, never changes: `unit`, `per`, `timeZone`, `target` and `each`. A reservation names accounts
 * and periods, and may be settled weeks later.
 */
export interface LimitRow {
  readonly id: string;
  readonly name: string;
  readonly alias: string | null;
  readonly description: string;
  readonly unit: LimitUnit;
  /** Null: `slots`, which have no period. */
  readonly per: LimitPeriod | null;
  readonly amount: bigint;
  readonly timeZone: string;
  readonly targetKind: LimitTarget;
  /** Null for the installation. */
  readonly targetId: string | null;
  readonly each: LimitMember | null;
  readonly models: readonly string[];
  readonly mode: 'enforce' | 'observe';
  readonly countsFrom: Date;
  /** When it was deleted: it refuses nothing any more, and its row goes with its last account. */
  readonly endedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}
