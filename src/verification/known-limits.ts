import { Injectable } from '@nestjs/common';
import { type LimitViewer, seesNumbers } from '../limits/limit-visibility.js';
import type { KeyFacts, KeyRecord } from '../key-cache/records/key-record.js';
import { resetSecondsOf } from '../quotas/window-reader.js';
import { isCounted, type BudgetState } from '../quotas/admission.js';
import { type BoundLimit, type KeyLimits, type SlidingLimit, isBinding } from '../quotas/key-limits.js';
import type { LimitTarget } from '../quotas/limits/limit-facts.js';
import type { Account } from '../quotas/quota-store.js';
import { Quotas } from '../quotas/quotas.service.js';
import { type LimitNumbers, OWN_BUDGET, UNTOLD, addNumbers, shareLeft, toldLimit, toldWindow } from './told-limit.js';
import type { VerdictLimitView } from './verdict-limit.view.js';
import type { RateLimitView, RefusingLimitView } from './verdict.view.js';

/** A call, and who may be told of its limits. */
export interface ToldCall {
  readonly record: KeyRecord;
  /** What the call draws from: of its subject, where that has accounts of its own. */
  readonly limits: KeyLimits;
  readonly model: string | undefined;
  readonly viewer: LimitViewer;
  /** Those of the key itself, as the verdict has them. */
  readonly rateLimits: readonly RateLimitView[];
  readonly nowMs: number;
}

/** Limits of a call that was decided, as the memory of this replica has them. */
@Injectable()
export class KnownLimits {
  constructor(private readonly quotas: Quotas) {}

  /**
   * The limit of which the least part is left, among those whose numbers the caller may know: else the numbers of the
   * others would be found by watching which one it is. Where there is none, the narrowest limit, without numbers.
   * undefined: nothing limits the call.
   */
  tightest(call: ToldCall): VerdictLimitView | undefined {
    const { record, limits, model, rateLimits, nowMs } = call;
    let least = Infinity;
    let window: RateLimitView | undefined;
    let bound: BoundLimit | undefined;
    let state: BudgetState | null = null;
    for (const one of rateLimits) {
      const share = one.remaining / one.limit;
      if (share < least) [least, window] = [share, one];
    }
    const [own] = record.key.limits.accounts;
    const budget = own === undefined ? null : this.quotas.findBudget(own);
    const budgetShare = shareOf(own, budget);
    if (budgetShare < least) [least, window, state] = [budgetShare, undefined, budget];
    for (const one of limits.limits) {
      if (!isBinding(one.facts, model) || !seesBound(call, one)) continue;
      const known = this.quotas.findBudget(one.account);
      const share = shareOf(one.account, known);
      if (share < least) [least, window, bound, state] = [share, undefined, one, known];
    }
    for (const one of limits.sliding) {
      if (!isBinding(one.facts, model) || !seesBound(call, one)) continue;
      const { numbers } = this.slidingState(one, nowMs);
      const share = numbers === UNTOLD ? Infinity : shareLeft(numbers);
      if (share < least) [least, window, bound] = [share, undefined, one];
    }
    if (window !== undefined) return toldWindow(window);
    if (bound !== undefined) return this.told(bound, true, nowMs);
    if (own !== undefined && state !== null) return toldBudget(own, state, nowMs);
    const narrowest = narrowestOf(call);
    return narrowest && this.told(narrowest, false, nowMs);
  }

  /** All of them: those of the key itself, then from the narrowest to the widest. */
  all(call: ToldCall): VerdictLimitView[] {
    const { record, model, rateLimits, nowMs } = call;
    const views = rateLimits.map(toldWindow);
    const [own] = record.key.limits.accounts;
    const budget = own === undefined ? null : this.quotas.findBudget(own);
    if (own !== undefined && budget !== null) views.push(toldBudget(own, budget, nowMs));
    for (const one of inOrder(call.limits))
      if (isBinding(one.facts, model)) views.push(this.told(one, seesBound(call, one), nowMs));
    return views;
  }

  /** Adds the numbers of the limit that refused a call, where the caller may know them and this replica does. */
  addNumbers(view: RefusingLimitView, call: ToldCall): void {
    const { limits, sliding } = call.limits;
    const bound = [...limits, ...sliding].find(({ facts }) => facts.id === view.id);
    if (bound === undefined || !seesBound(call, bound)) return;
    const { numbers } = this.stateOf(bound, call.nowMs);
    if (numbers !== UNTOLD) addNumbers(view, view.unit, numbers);
  }

  private told(bound: BoundLimit, isSeen: boolean, nowMs: number): VerdictLimitView {
    const { numbers, endsAtMs } = this.stateOf(bound, nowMs);
    const isExhausted = numbers !== UNTOLD && numbers.used >= numbers.amount;
    return toldLimit(bound.facts, isSeen ? numbers : UNTOLD, isExhausted, endsAtMs, nowMs);
  }

  private stateOf(bound: BoundLimit | SlidingLimit, nowMs: number): LimitState {
    if ('window' in bound) return this.slidingState(bound, nowMs);
    const state = this.quotas.findBudget(bound.account);
    return { numbers: numbersOf(bound.account, state), endsAtMs: state?.endsAtMs ?? null };
  }

  /** Permits in the hands of replicas count as used; what only observes is not known here. */
  private slidingState({ window, facts }: SlidingLimit, nowMs: number): LimitState {
    const state = this.quotas.findWindow(window);
    if (state === null) return { numbers: UNTOLD, endsAtMs: null };
    const { limit, remaining, resetMs } = state;
    const numbers = { amount: BigInt(limit), used: BigInt(limit - remaining), held: 0n };
    return {
      numbers: facts.observes === true ? UNTOLD : numbers,
      endsAtMs: resetMs === 0 ? null : nowMs + resetSecondsOf(window.window, resetMs) * 1000,
    };
  }
}

/** What memory knows of a limit. */
interface LimitState {
  readonly numbers: LimitNumbers | typeof UNTOLD;
  /** Unix milliseconds; null: it never counts from 0 again, or nothing counts. */
  readonly endsAtMs: number | null;
}

/** The limits that bind a call, from the narrowest to the widest. Windows and calls in flight are kept apart. */
function inOrder({ limits, slots, sliding }: KeyLimits): readonly BoundLimit[] {
  if (slots.length + sliding.length === 0) return limits;
  return ORDER.flatMap((target) => [...limits, ...sliding, ...slots].filter(isOf(target)));
}

const ORDER: readonly LimitTarget[] = ['key', 'owner', 'project', 'installation'];
const isOf =
  (target: LimitTarget) =>
  ({ facts }: BoundLimit): boolean =>
    facts.target === target;

function narrowestOf({ limits, model }: ToldCall): BoundLimit | undefined {
  return inOrder(limits).find(({ facts }) => isBinding(facts, model));
}

/** What memory knows of an account; `UNTOLD`: nothing, or it observes, and its amount is not known here. */
function numbersOf(account: Account, state: BudgetState | null): LimitNumbers | typeof UNTOLD {
  if (state === null || state.limit === null) return UNTOLD;
  const { limit: amount, spent, leased } = state;
  // A request is used when a replica takes it for its next calls.
  return isCounted(account) ? { amount, used: spent + leased, held: 0n } : { amount, used: spent, held: leased };
}

function shareOf(account: Account | undefined, state: BudgetState | null): number {
  const numbers = account === undefined ? UNTOLD : numbersOf(account, state);
  return numbers === UNTOLD ? Infinity : shareLeft(numbers);
}

function toldBudget(account: Account, state: BudgetState, nowMs: number): VerdictLimitView {
  const numbers = numbersOf(account, state);
  const isExhausted = numbers !== UNTOLD && numbers.used >= numbers.amount;
  return toldLimit(OWN_BUDGET[account.type], numbers, isExhausted, state.endsAtMs, nowMs);
}

function seesBound({ viewer, record }: ToldCall, { facts, account }: BoundLimit): boolean {
  const { target: targetKind, each } = facts;
  const targetId = targetIdOf(targetKind, record.key);
  return seesNumbers(viewer, { targetKind, targetId, each, memberId: account.limit?.member ?? null });
}

/** The target of a limit that binds a key. */
function targetIdOf(target: LimitTarget, key: Pick<KeyFacts, 'id' | 'ownerId' | 'projectId'>): string | null {
  return { key: key.id, owner: key.ownerId, project: key.projectId, installation: null }[target];
}
