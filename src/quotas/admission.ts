import { POOLED_TTL_SECONDS } from './quota-store.js';
import type { Account, Hold, Period, PoolKind, RateWindow, WindowName } from './quota-store.js';

/**
 * One call to be admitted: all of its accounts and windows or none. The arrays belong to the cached record of a key
 * and are not copied; at most `MAX_HOLDS` accounts.
 */
export interface AdmitRequest {
  readonly accounts: readonly Account[];
  readonly windows: readonly RateWindow[];
  /** Requests that the call counts as in every window; at least 1. */
  readonly cost: number;
  /** Micro-cents to hold in every account; 0 = only ask whether anything is left. */
  readonly reserve: bigint;
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
  readonly month: Period;
  /** By the store's clock, at least the asked time to live from the verdict. */
  readonly expiresAtMs: number;
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
}

/** Nothing was taken. */
export interface Refused {
  readonly admitted: false;
  readonly code: 'RATE_LIMITED' | 'BUDGET_EXCEEDED' | 'CONCURRENCY_LIMITED' | 'UNAVAILABLE';
  /** Null = a retry of the same call cannot succeed by waiting. */
  readonly retryAfterMs: number | null;
  readonly window: WindowName | null;
  readonly account: Account | null;
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

/** What a call holds in an account: a hold that the caller did not ask for is placed in the key's own budget alone. */
export function reserveIn({ reserve, isDefaultHold }: AdmitRequest, account: Account): bigint {
  return isDefaultHold && account.limit !== undefined ? 0n : reserve;
}

/** Whether all accounts of a call decide together: it gets leases of its own, in several accounts. */
export function isJoint({ accounts, reserve, ttlSeconds }: AdmitRequest): boolean {
  return ttlSeconds > POOLED_TTL_SECONDS && reserve > 0n && accounts.length > 1;
}

/** The pool a short hold draws from. */
export function poolOf(request: AdmitRequest): PoolKind {
  return request.isDefaultHold ? 'default' : 'pooled';
}
