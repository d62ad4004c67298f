import { MOST_OF_SLIDING } from '../../packages/contract/src/limit.js';
import type { LimitUnit } from './limits/limit-facts.js';

/**
 * The store over money and rate windows, as the lease managers see it. PostgreSQL is the only real one
 * (`postgres-store.ts`); the simulation has a model of it. Amounts are bigint: micro-cents, or tokens or requests in
 * accounts of limits of these; durations
 * milliseconds, instants milliseconds of the store's own clock.
 * @see docs/quotas.md
 */

/** `total`, or the first date of a period (`2026-11-01`): of a key's own budget, a month in UTC. */
export type Period = string;

/** Which of a key's accounts its budget tests; of a limit, whether it starts anew. */
export type BudgetType = 'total' | 'monthly';

/** Which limit an account is of. */
export interface AccountOfLimit {
  readonly id: string;
  /** The key, owner or subject whose account it is; null: all calls share it. */
  readonly member: string | null;
  /** The text of the subject whose account it is, to be noted with its first use; absent: it is none of a subject. */
  readonly subject?: string;
  /** What its amounts count; absent: micro-cents. */
  readonly unit?: Exclude<LimitUnit, 'cents'>;
}

/** A budget to draw from. The store's clock, not ours, says which month, day or week it means. */
export interface Account {
  readonly id: string;
  /** Of a limit, `monthly` means that it starts anew, whenever that is. */
  readonly type: BudgetType;
  /** Absent: the budget of the key itself. */
  readonly limit?: AccountOfLimit;
}

/** The three windows of one row. */
export type WindowName = 'minute' | 'hour' | 'day';

/** A rate window to draw from; `limit` is at least 1. */
export interface RateWindow {
  readonly id: string;
  readonly window: WindowName;
  /** Of a limit that keys share: `MOST_OF_WINDOW`. The store knows its amount. */
  readonly limit: number;
  /** Absent: a window of the key itself. */
  readonly of?: AccountOfLimit | undefined;
}

/** No window has a greater limit. */
export const MOST_OF_WINDOW = MOST_OF_SLIDING;

/**
 * Leases shared by short reservations; `default` ones carry the holds of callers who do not reserve. What is drawn from
 * a `counted` one is used at once: who closes it spends what is not handed back.
 */
export type PoolKind = 'pooled' | 'default' | 'counted';

/** One waiting call's need of a budget; `own` asks for a lease of its own (time to live over 60 s). */
export interface BudgetDemand {
  readonly amount: bigint;
  readonly own: { readonly leaseId: string; readonly ttlSeconds: number } | null;
  /** Needs of several accounts with one number are one call: granted in all of them or in none. Absent: by itself. */
  readonly joint?: number;
}

/**
 * What became of a need. Null: it fits here, and another account of its call refused it. `unheld`: granted without a
 * lease, because so much is leased of what nothing bounds that no more is counted.
 */
export type NeedVerdict = boolean | null | 'unheld';

/** The needs of one account, in the order in which they wait; each is granted that fits. */
export interface BudgetRequest {
  readonly account: Account;
  readonly kind: PoolKind;
  /** The id the pooled lease gets if one is granted: made by the asker, so that an unknown outcome can be undone. */
  readonly leaseId: string;
  readonly want: bigint;
  readonly needs: readonly BudgetDemand[];
}

/**
 * A permit lease that its holder has given up, or the part of one that it has used: `granted` leave their bucket,
 * `used` go to the current one.
 */
export interface PermitClose {
  readonly bucket: number;
  readonly granted: number;
  readonly used: number;
  /**
   * Of a window of tokens, the epoch of the grant: `granted - used` leave their bucket if it is that of the window, and
   * nothing moves.
   */
  readonly epoch?: string;
}

/** The needs of one rate window, in order, and what the holder closes of a lease: all of it, or what it used. */
export interface WindowAsk {
  readonly id: string;
  readonly window: WindowName;
  readonly limit: number;
  readonly want: number;
  /** So many are few against all limits of the key: a lease of about as many may live for an hour. 0: none may. */
  readonly few: number;
  /** Empty: permits are asked for ahead, and the last eighth of the limit is not touched. */
  readonly needs: readonly number[];
  readonly previous: PermitClose | null;
  /** The limit that keys share; its amount is the store's, and `limit` is not looked at. Absent: of the key itself. */
  readonly of?: AccountOfLimit | undefined;
}

/**
 * What became of a need of a window. `uncounted`: granted without permits, because so much is counted of what nothing
 * bounds that no more can be, or because it takes none.
 */
export type WindowVerdict = boolean | 'uncounted';

/** What a limit that keys share allows of its window. */
export interface WindowAmount {
  /** What is in force, with an override while it runs. */
  readonly amount: number;
  /** What is in force whichever override ends; null: the limit refuses nothing. */
  readonly least: number | null;
}

/** Everything one replica asks for at once. */
export interface AcquireRequest {
  readonly replicaId: string;
  readonly liveReplicas: number;
  readonly budgets: readonly BudgetRequest[];
  readonly windows: readonly WindowAsk[];
}

/** The answer to one `BudgetRequest`; the amounts are as of after the grant. */
export interface BudgetGrant {
  /** False when no such account exists: nothing was granted. */
  readonly found: boolean;
  /** Not found, because the limit has as many subjects as it may have. */
  readonly isFull?: boolean;
  readonly period: Period;
  /** The month of the grant, for either type: settles are charged to it. */
  readonly month: Period;
  /** What holds now: with `raise`. */
  readonly limit: bigint | null;
  readonly spent: bigint;
  readonly leased: bigint;
  /** The part of the limit that is there until a raise of the key ends; 0: none runs. */
  readonly raise: bigint;
  /** One verdict per need, in order. */
  readonly verdicts: readonly NeedVerdict[];
  /** Size of the pooled lease; 0 = none was made. */
  readonly slice: bigint;
  /** How long after `clockMs` the leases may admit; at most 10 s, never past month, period, raise or override. */
  readonly admitForMs: number;
  readonly clockMs: number;
  /** Until the account starts anew; where it never does, until the month ends. */
  readonly monthEndsInMs: number;
}

/** The answer to one `WindowAsk`. */
export interface WindowGrant {
  readonly verdicts: readonly WindowVerdict[];
  /** Size of the permit lease; 0 = none. */
  readonly permits: number;
  /** Absolute number of the bucket in which the permits are counted: that of their deadline. */
  readonly bucket: number;
  /** 0 = nothing was granted, and nothing closed: no call waits for it and the row is locked, or the limit is full. */
  readonly validForMs: number;
  /** Permits left at the store after the grant. */
  readonly free: number;
  /** Until the window is whole again. */
  readonly resetMs: number;
  /** Until the first refused need would fit; 0 if none was refused. */
  readonly retryMs: number;
  /** Of a limit that keys share. Its permits are good no longer than that. */
  readonly inForce?: WindowAmount | undefined;
  /** The limit has as many subjects as it may have, and this one is none of them: there is no such window. */
  readonly isFull?: boolean;
  /** Of a window of tokens: 16 hexadecimal digits, other ones once grants may have been lost or moved. */
  readonly epoch?: string;
}

/** The answers, in the order of the asks. */
export interface AcquireAnswer {
  readonly budgets: readonly BudgetGrant[];
  readonly windows: readonly WindowGrant[];
}

/** What is left of a lease, handed back. `amount` null = all of it (a lease whose grant was never seen). */
export interface LeaseReturn {
  readonly leaseId: string;
  /** Counts the returns of this lease from 1: the same number twice is applied once. */
  readonly number: number;
  readonly amount: bigint | null;
}

/** A permit lease handed back: sent once, forgotten if its outcome is unknown. */
export interface PermitReturn extends PermitClose {
  readonly id: string;
  readonly window: WindowName;
  /** The limit that keys share, of which it is. Absent: of the key itself. */
  readonly of?: AccountOfLimit | undefined;
}

/** Everything one replica hands back at once. */
export interface GiveBack {
  readonly leases: readonly LeaseReturn[];
  readonly windows: readonly PermitReturn[];
}

/** The part of a reservation that lies in one account. */
export interface Hold {
  readonly accountId: string;
  readonly period: Period;
  /** `NO_LEASE`: the account is charged, and nothing is held in it. */
  readonly leaseId: string;
}

/**
 * In place of the period of a hold: a slot of a limit of calls in flight. Nothing is charged to its account, and its
 * lease is freed whole.
 */
export const SLOT: Period = 'slot';

/**
 * In place of the period of a hold: a window of a limit of tokens. Its lease is the epoch and the bucket of the grant.
 * @see markOf
 */
export const WINDOW: Period = 'window';

/** In place of a lease, where a reservation names an account that it holds nothing in. */
export const NO_LEASE = '00000000-0000-0000-0000-000000000000';

/** A cost to charge, or a reservation to release. */
export interface Settlement {
  readonly kind: 'settle' | 'release';
  readonly keyId: string;
  /** Null = the caller did not reserve; then idempotence is the usage id's job. */
  readonly reservationId: string | null;
  /** The month to charge; null = the store's current one. */
  readonly month: Period | null;
  readonly holds: readonly Hold[];
  readonly reserved: bigint;
  /** What it cost; 0 in a release. */
  readonly amount: bigint;
  /** Tokens that it held in accounts of tokens; absent: 0. */
  readonly reservedTokens?: bigint;
  /** Tokens to charge to accounts of tokens; absent: 0. */
  readonly tokens?: bigint;
  /** Names the settling event: the same reservation under the same name is a repeat, under another a conflict. */
  readonly settledBy: string;
  /** Without a reservation: the size of the default hold that this event frees (the oldest open one); 0 = none. */
  readonly defaultHold: bigint;
}

/**
 * `already-settled`: another event settled it before. `refused`: the account's wall (CHECK) refused it, which only a
 * defect or a forged row can cause; nothing was applied.
 */
export type SettleOutcome =
  'settled' | 'released' | 'already-released' | 'duplicate' | 'already-settled' | 'unknown-key' | 'refused';

/** The answer to one `Settlement`. */
export interface SettleResult {
  readonly outcome: SettleOutcome;
  /** Its lease was closed, or the reservation released, before: the amount was charged all the same. */
  readonly late: boolean;
  /** What it cost beyond its reservation. */
  readonly excess: bigint;
}

/** What a janitor has seen of the store's clock. @see ClockWatch */
export interface CloseOrder {
  /** The store's clock at the last poll: only leases whose hold ended before it are closed. */
  readonly beforeMs: number;
  /** For how long that clock has been watched to run evenly: only leases with a shorter hold are closed. */
  readonly watchedMs: number;
  readonly limit: number;
}

/** A lease that was granted in the future of the store's clock, which has stepped back since. */
export interface FutureLease {
  readonly id: string;
  /** From its grant to the end of its hold. */
  readonly holdMs: number;
}

/** The one place where budgets and windows are true. Every method is one transaction. */
export interface QuotaStore {
  /** @throws whatever makes the outcome unknown; the asker must then admit nothing on it. */
  acquire(request: AcquireRequest): Promise<AcquireAnswer>;
  /** Idempotent for leases by their return number; a closed lease ignores it. */
  giveBack(back: GiveBack): Promise<void>;
  /** One result per settlement, in order; a bad one never fails the rest. */
  settle(settlements: readonly Settlement[]): Promise<SettleResult[]>;
  /** Closes leases past their hold and gives how many. */
  closeExpired(order: CloseOrder): Promise<number>;
}

/** Within this of its end a lease admits nothing more: 10 s after its grant. */
export const ADMIT_MS = 10_000;
/** A caller acts within this of the verdict. */
export const ACT_MS = 5_000;
/** Longest time to live of a reservation that draws from a pooled lease. */
export const POOLED_TTL_SECONDS = 60;
