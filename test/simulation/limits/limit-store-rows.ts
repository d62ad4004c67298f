import type { BudgetGrant, BudgetRequest, NeedVerdict, Settlement } from '../../../src/quotas/quota-store.js';
import type { ZonePeriod } from './zone-periods.js';

/** One row of `budget_account`: of a key's own budget, or of a limit. */
export interface AccountRow {
  readonly accountId: string;
  readonly period: ZonePeriod;
  /** The limit's amount as of the last lock; null: this account refuses nothing, or it has not been locked yet. */
  copy: bigint | null;
  floor: bigint | null;
  spent: bigint;
  leased: bigint;
  overdraft: bigint;
  /** Changes of the limit that the copy has seen: the fault `copy-follows-changes-only` alone looks at it. */
  version: number;
}

/** What an acquire does to one account. */
export interface Work {
  readonly ask: BudgetRequest;
  readonly account: AccountRow;
  readonly limit: bigint | null;
  /** What may still be given; null: no bound. */
  left: bigint | null;
  readonly admitUntil: number;
  readonly common: Pick<BudgetGrant, 'period' | 'month' | 'clockMs' | 'admitForMs' | 'monthEndsInMs'>;
  /** Of needs that several accounts decide together. */
  readonly verdicts: NeedVerdict[];
}

export interface LeaseRow {
  readonly id: string;
  /** Its use counts when calls are admitted: who closes it spends what is not handed back. */
  readonly isCounted: boolean;
  readonly account: string;
  granted: bigint;
  settled: bigint;
  returns: number;
  readonly grantedAt: number;
  readonly holdUntil: number;
}

/** A cost or a release, and what its caller says it was. */
export interface Report extends Settlement {
  /** The model that the event names; the verify's may have been another. */
  readonly model: string | null;
  /** The subject that the event names. A reservation has named its accounts already. */
  readonly subject: string | null;
  /** The accounts by the record of the replica that takes it: what `unreserved-by-the-record` charges. */
  readonly byRecord: readonly string[];
}

/** An account that nothing has been taken from. */
export function newAccount(accountId: string, period: ZonePeriod): AccountRow {
  return { accountId, period, copy: null, floor: null, spent: 0n, leased: 0n, overdraft: 0n, version: -1 };
}

/** Its id and its period. */
export function nameOf(account: AccountRow): string {
  return `${account.accountId}|${account.period.name}`;
}

/** The smaller one. */
export function least(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}

/** The greater one. */
export function max(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
