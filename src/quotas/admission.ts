import type { BudgetLease, PermitLease } from './lease.js';
import { POOLED_TTL_SECONDS } from './quota-store.js';
import type { Account, Hold, Period, PoolKind, RateWindow, WindowName } from './quota-store.js';

/**
 * One call to be admitted: all of its accounts and windows or none. The arrays belong to the cached record of a key
 * and are not copied; at most `MAX_HOLDS` accounts.
 */
export interface AdmitRequest {
  readonly accounts: readonly Account[];
  readonly windows: readonly RateWindow[];
  /** Requests that the call counts as in every window but those of tokens; at least 1. */
  readonly cost: number;
  /** Micro-cents to hold in every account of cents; 0 = only ask whether anything is left. */
  readonly reserve: bigint;
  /** Tokens to hold in every account and window of tokens; 0 or absent: only ask whether anything is left. */
  readonly reserveTokens?: bigint;
  /** 1…1800. */
  readonly ttlSeconds: number;
  /** True for the hold that `DEFAULT_RESERVATION_CENTS` places (time to live ≤ 60 s). */
  readonly isDefaultHold: boolean;
  /** Absent: no limit of calls in flight binds the call. */
  readonly slots?: SlotDemand | undefined;
}

/** The slots that a call needs: one of each account. */
export interface SlotDemand {
  /** At least one, from the narrowest to the widest. */
  readonly accounts: readonly Account[];
  /** 1…1800. */
  readonly ttlSeconds: number;
}

/** What a reservation is made of, for the signer. */
export interface ReservationParts {
  readonly amount: bigint;
  /** What it holds in accounts of tokens; 0 where it names none. */
  readonly tokens: bigint;
  /** null: nothing is held whose month the store has said. */
  readonly month: Period | null;
  /** By the store's clock, at least the asked time to live from the verdict; null: nothing that is held ends. */
  readonly expiresAtMs: number | null;
  readonly isDefaultHold: boolean;
  readonly holds: readonly Hold[];
}

/** Everything asked was taken. */
export interface Admitted {
  readonly admitted: true;
  /** A window was counted by the local share only (`RATE_LIMIT_FALLBACK=local-share`), inexactly. */
  readonly degraded: boolean;
  /** Null if nothing was held. */
  readonly reservation: ReservationParts | null;
  /** What a call that waited was counted as, so that it can be undone; absent: it did not wait, or is not counted. */
  readonly counted?: readonly CountedDraw[];
}

/** What a call has drawn from a lease whose use counts at the verdict, or of the permits of a window. */
export type CountedDraw = SliceDraw | PermitDraw;

/** What a call has drawn of an account. */
export interface SliceDraw {
  readonly lease: BudgetLease;
  readonly amount: bigint;
}

/** What a call has drawn of a rate window. */
export interface PermitDraw {
  readonly lease: PermitLease;
  readonly cost: number;
  /** What the store had been told of the lease by then. */
  readonly told: number;
}

/** Nothing was taken. */
export interface Refused {
  readonly admitted: false;
  readonly code: 'RATE_LIMITED' | 'BUDGET_EXCEEDED' | 'CONCURRENCY_LIMITED' | 'TOO_MANY_SUBJECTS' | 'UNAVAILABLE';
  /** Null = a retry of the same call cannot succeed by waiting. */
  readonly retryAfterMs: number | null;
  readonly window: WindowName | null;
  readonly account: Account | null;
  /** The call takes more of the account than its limit allows at all. */
  readonly isTooLarge?: boolean;
}

/** The lease manager's verdict: a value, never an exception. */
export type Admission = Admitted | Refused;

/** What is known of a window, as of the last acquire. */
export interface WindowState {
  readonly limit: number;
  readonly remaining: number;
  readonly resetMs: number;
}

/** What is known of a budget, as of the last acquire. */
export interface BudgetState {
  readonly period: Period;
  /** Unix milliseconds by the store's clock; null: it never starts anew. */
  readonly endsAtMs: number | null;
  /** With `raise`. */
  readonly limit: bigint | null;
  readonly spent: bigint;
  readonly leased: bigint;
  readonly raise: bigint;
}

/** The verdict of calls that hold nothing: one object for all of them. */
export const ADMITTED: Admitted = Object.freeze({ admitted: true, degraded: false, reservation: null });
/** The same, where a window was counted by the local share. */
export const ADMITTED_DEGRADED: Admitted = Object.freeze({ admitted: true, degraded: true, reservation: null });

/** A refusal because nothing could be decided. */
export function unavailable(retryAfterMs: number): Refused {
  return { admitted: false, code: 'UNAVAILABLE', retryAfterMs, window: null, account: null };
}

/**
 * What a call takes of an account, in its unit; 0: it only asks whether anything is left. A hold that the caller did
 * not ask for is placed in the key's own budget alone.
 */
export function amountIn(request: AdmitRequest, { limit }: Account): bigint {
  if (limit === undefined) return request.reserve;
  if (limit.unit === 'requests') return request.cost === 1 ? 1n : BigInt(request.cost);
  if (limit.unit === 'tokens') return request.reserveTokens ?? 0n;
  return request.isDefaultHold ? 0n : request.reserve;
}

/** Whether a call that is admitted counts there for good: it is neither held nor reported. */
export function isCounted({ limit }: Account): boolean {
  return limit?.unit === 'requests';
}

/** Whether a call holds something until it is reported. */
export function isReserving({ reserve, reserveTokens }: AdmitRequest): boolean {
  return reserve > 0n || (reserveTokens ?? 0n) > 0n;
}

/** Whether the call gets a lease of its own there. */
export function hasOwnLease(request: AdmitRequest, account: Account): boolean {
  return request.ttlSeconds > POOLED_TTL_SECONDS && !isCounted(account) && amountIn(request, account) > 0n;
}

/** Whether accounts of a call decide together: it gets leases of its own, in several of them. */
export function isJoint(request: AdmitRequest): boolean {
  if (request.ttlSeconds <= POOLED_TTL_SECONDS || request.accounts.length < 2) return false;
  let own = 0;
  for (const account of request.accounts) if (hasOwnLease(request, account)) own++;
  return own > 1;
}

/** The pool that a call draws from there. */
export function poolOf(request: AdmitRequest, account: Account): PoolKind {
  if (isCounted(account)) return 'counted';
  return request.isDefaultHold && account.limit === undefined ? 'default' : 'pooled';
}
