import { isExhausted } from '../limits/limit-account.js';
import { type LimitViewer, seesNumbers } from '../limits/limit-visibility.js';
import type { BudgetStanding } from '../quotas/budget-reader.js';
import type { BindingLimit } from '../quotas/limits/limit-accounts.js';
import { OWN_BUDGET, UNTOLD, shareLeft, toldLimit, toldWindow } from './told-limit.js';
import type { VerdictLimitView } from './verdict-limit.view.js';
import type { RateLimitView } from './verdict.view.js';

/** The limits of a call as the database has them. */
export interface StoredLimits {
  /** Those of the key itself. */
  readonly rateLimits: readonly RateLimitView[];
  readonly budget: BudgetStanding | null;
  /** Those that bind the call, from the narrowest to the widest. */
  readonly bound: readonly BindingLimit[];
}

/** Whether a caller may know the numbers of a limit that binds a key. */
export function seesBinding(viewer: LimitViewer, { limit, account }: BindingLimit): boolean {
  const { targetKind, targetId, each } = limit;
  return seesNumbers(viewer, { targetKind, targetId, each, memberId: account.member });
}

/** All limits of a call, and the one of which the least part is left among those whose numbers the viewer may know. */
export function storedLimits(
  { rateLimits, budget, bound }: StoredLimits,
  viewer: LimitViewer,
  nowMs: number,
): { limits: VerdictLimitView[]; tightest: VerdictLimitView | null } {
  const told: readonly Told[] = [
    ...rateLimits.map((one) => ({ view: toldWindow(one), share: one.remaining / one.limit })),
    ...(budget === null ? [] : [toldBudget(budget, nowMs)]),
    ...bound.map((one) => toldBinding(one, seesBinding(viewer, one), nowMs)),
  ];
  const [first = null] = told;
  const least = told.reduce<Told | null>(
    (one, other) => (one === null || other.share < one.share ? other : one),
    first,
  );
  return { limits: told.map(({ view }) => view), tightest: least?.view ?? null };
}

interface Told {
  readonly view: VerdictLimitView;
  /** The part that is left; Infinity: it is not compared with others. */
  readonly share: number;
}

function toldBudget({ type, limit: amount, spent: used, held, periodEnd }: BudgetStanding, nowMs: number): Told {
  const numbers = { amount, used, held };
  const endsAtMs = periodEnd?.getTime() ?? null;
  return { view: toldLimit(OWN_BUDGET[type], numbers, used >= amount, endsAtMs, nowMs), share: shareLeft(numbers) };
}

/** What only observes refuses nothing, so that nothing of it can be scarce. */
function toldBinding({ limit, account }: BindingLimit, isSeen: boolean, nowMs: number): Told {
  const numbers = { amount: account.amount, used: account.spent, held: account.held };
  const endsAtMs = account.endsAt?.getTime() ?? null;
  const view = toldLimit(limit, isSeen ? numbers : UNTOLD, isExhausted(account, limit.mode), endsAtMs, nowMs);
  return { view, share: isSeen && limit.mode === 'enforce' ? shareLeft(numbers) : Infinity };
}
