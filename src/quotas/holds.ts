import { type AdmitRequest, isCounted, type ReservationParts } from './admission.js';
import type { BudgetEntry } from './budget-entry.js';
import type { BudgetLease } from './lease.js';
import { type Hold, NO_LEASE } from './quota-store.js';
import { slotHolds } from './slots/slot-desk.js';
import { holdOfWindow, isOfTokens, weightIn } from './token-windows.js';
import type { GrantedSlots } from './waiter.js';
import type { WindowEntry } from './window-entry.js';

/** What a call has drawn from, in the order of its accounts and windows. */
export interface Drawn {
  readonly accounts: readonly BudgetEntry[];
  /** Null: nothing was drawn there. */
  readonly leases: readonly (BudgetLease | null)[];
  readonly windows: readonly (WindowEntry | null)[];
  readonly slots: GrantedSlots | null;
}

/** The reservation of a call that was admitted: what it holds, and what else its report is charged to. */
export function reservationOf(request: AdmitRequest, drawn: Drawn, nowMs: number): ReservationParts {
  const holds: Hold[] = [];
  const ttlMs = request.ttlSeconds * 1000;
  let month: string | null = null;
  let expiresAtMs = Infinity;
  const takesTokens = ({ limit }: BudgetEntry['account']): boolean => limit?.unit === 'tokens';
  const namesTokens = request.accounts.some(takesTokens) || request.windows.some(isOfTokens);
  for (let index = 0; index < request.accounts.length; index++) {
    const entry = drawn.accounts[index] as BudgetEntry;
    if (isCounted(entry.account)) continue;
    const lease = drawn.leases[index] ?? null;
    if (lease === null) {
      const known = entry.known!;
      holds.push({ accountId: entry.account.id, period: known.period, leaseId: NO_LEASE });
      month ??= known.month;
      expiresAtMs = Math.min(expiresAtMs, known.clockMs + (nowMs - known.receivedAtMs) + ttlMs);
      continue;
    }
    holds.push({ accountId: entry.account.id, period: lease.period, leaseId: lease.id });
    month = lease.month;
    expiresAtMs = Math.min(expiresAtMs, lease.clockMs + (nowMs - lease.receivedAtMs) + ttlMs);
  }
  request.windows.forEach((window, index) => {
    if (isOfTokens(window))
      holds.push(holdOfWindow(window.id, drawn.windows[index] ?? null, weightIn(request, window)));
  });
  if (drawn.slots !== null && request.slots !== undefined) {
    const held = slotHolds(request.slots, drawn.slots, nowMs);
    holds.push(...held.holds);
    month ??= drawn.slots.month;
    expiresAtMs = Math.min(expiresAtMs, held.expiresAtMs);
  }
  return {
    amount: request.reserve,
    tokens: namesTokens ? (request.reserveTokens ?? 0n) : 0n,
    month,
    expiresAtMs: expiresAtMs === Infinity ? null : expiresAtMs,
    isDefaultHold: request.isDefaultHold,
    holds,
  };
}
