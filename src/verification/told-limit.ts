import { inUnit } from '../limits/limit-amount.js';
import type { LimitFacts, LimitUnit } from '../quotas/limits/limit-facts.js';
import { type LimitNumbersView, PERIOD_OF_WINDOW, type VerdictLimitView } from './verdict-limit.view.js';
import type { RateLimitView } from './verdict.view.js';

/** How far a limit is used, in its unit; that of cents in micro-cents. */
export interface LimitNumbers {
  readonly amount: bigint;
  readonly used: bigint;
  readonly held: bigint;
}

/** What names a limit in a verdict. */
export type NamedLimit = Pick<LimitFacts, 'id' | 'name' | 'unit' | 'per'>;

/** The budget of the key itself is told like a limit, without an id. */
export const OWN_BUDGET = {
  total: { id: null, name: '', unit: 'cents', per: 'total' },
  monthly: { id: null, name: '', unit: 'cents', per: 'month' },
} as const;

/** What the caller may not know of a limit, or is not known here. */
export const UNTOLD = null;

/**
 * A limit as a verdict tells it.
 *
 * @param numbers `UNTOLD`: neither these nor the name
 * @param endsAtMs Unix milliseconds; null: it never counts from 0 again
 */
export function toldLimit(
  { id, name, unit, per }: Omit<NamedLimit, 'id'> & { readonly id: string | null },
  numbers: LimitNumbers | typeof UNTOLD,
  isExhausted: boolean,
  endsAtMs: number | null,
  nowMs: number,
): VerdictLimitView {
  const view: VerdictLimitView = { id, unit, per, state: isExhausted ? 'exhausted' : 'ok' };
  if (numbers !== UNTOLD) {
    if (id !== null) view.name = name;
    addNumbers(view, unit, numbers);
  }
  if (endsAtMs !== null) {
    view.resetsAt = new Date(endsAtMs).toISOString();
    view.resetSeconds = Math.max(0, Math.ceil((endsAtMs - nowMs) / 1000));
  }
  return view;
}

/** Writes the numbers of a limit into what is told of it. */
export function addNumbers(view: LimitNumbersView, unit: LimitUnit, { amount, used, held }: LimitNumbers): void {
  const left = amount - used - held;
  view.amount = inUnit(unit, amount);
  view.used = inUnit(unit, used);
  view.held = inUnit(unit, held);
  view.remaining = left > 0n ? inUnit(unit, left) : 0;
}

/** A rate limit of the key itself, as a verdict tells limits: it slides, and counts from no instant. */
export function toldWindow({ window, limit, remaining, resetSeconds }: RateLimitView): VerdictLimitView {
  return {
    ...{ id: null, unit: 'requests', per: PERIOD_OF_WINDOW[window], state: remaining > 0 ? 'ok' : 'exhausted' },
    ...{ amount: limit, used: limit - remaining, held: 0, remaining, resetSeconds },
  };
}

/** The part of an amount that is left, 0…1. */
export function shareLeft({ amount, used, held }: LimitNumbers): number {
  const left = amount - used - held;
  return left <= 0n ? 0 : Number(left) / Number(amount);
}
