import type { LimitMode, LimitUnit } from '../../packages/contract/src/limit.js';
import type { AccountRow } from './account-sql.js';
import type { Override } from './limit-override.js';

/**
 * An account of a limit in the running period; amounts are micro-cents of a limit of cents, and whole numbers of any
 * other.
 */
export interface LimitAccount {
  readonly limitId: string;
  readonly unit: LimitUnit;
  /** null: all calls of the limit share it. */
  readonly memberId: string | null;
  /** What is in force: an override's amount while it runs. */
  readonly amount: bigint;
  /** Of `slots`: calls in flight. */
  readonly spent: bigint;
  /** Reserved, or set aside by a replica for its next calls. */
  readonly held: bigint;
  /** Percent of the amount that is spent; 100 where the amount is 0. */
  readonly usedPercent: number;
  /** null: it counts for good. */
  readonly startsAt: Date | null;
  readonly endsAt: Date | null;
  readonly override: Omit<Override, 'memberId'> | null;
  /** Its place among the accounts of its limit by what is used: the share, as text, and what is spent. */
  readonly place: readonly [share: string, spent: string];
}

export function accountFrom(row: AccountRow): LimitAccount {
  const { override_amount: amount, override_until: until, override_reason: reason } = row;
  return {
    limitId: row.limit_id,
    unit: row.unit,
    memberId: row.member_id,
    amount: BigInt(row.amount),
    spent: BigInt(row.spent),
    held: BigInt(row.held),
    usedPercent: Number(row.used),
    startsAt: row.starts_at,
    endsAt: row.ends_at,
    override: amount === null ? null : { amount: BigInt(amount), until, reason: reason ?? '' },
    place: [row.share, row.spent],
  };
}

/** What is neither spent nor held; never below 0. */
export function remainingOf({ amount, spent, held }: LimitAccount): bigint {
  const left = amount - spent - held;
  return left > 0n ? left : 0n;
}

/**
 * Whether the limit refuses every call: it is spent, or in flight, and enforced. What is only held may be handed back,
 * so an account without anything left for the moment is not exhausted.
 */
export function isExhausted({ spent, amount }: Pick<LimitAccount, 'spent' | 'amount'>, mode: LimitMode): boolean {
  return mode === 'enforce' && spent >= amount;
}
