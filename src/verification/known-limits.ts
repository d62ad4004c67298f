import { Injectable } from '@nestjs/common';
import { type LimitViewer, seesNumbers } from '../limits/limit-visibility.js';
import type { KeyFacts, KeyRecord } from '../key-cache/records/key-record.js';
import { isCounted, type BudgetState } from '../quotas/admission.js';
import { type BoundLimit, isBinding } from '../quotas/key-limits.js';
import type { LimitTarget } from '../quotas/limits/limit-facts.js';
import type { Account } from '../quotas/quota-store.js';
import { Quotas } from '../quotas/quotas.service.js';
import { type LimitNumbers, OWN_BUDGET, UNTOLD, addNumbers, shareLeft, toldLimit, toldWindow } from './told-limit.js';
import type { VerdictLimitView } from './verdict-limit.view.js';
import type { RateLimitView, RefusingLimitView } from './verdict.view.js';

/** A call, and who may be told of its limits. */
export interface ToldCall {
  readonly record: KeyRecord;
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
    const { record, model, rateLimits, nowMs } = call;
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
    for (const one of record.limits.limits) {
      if (!isBinding(one.facts, model) || !seesBound(call, one)) continue;
      const known = this.quotas.findBudget(one.account);
      const share = shareOf(one.account, known);
      if (share < least) [least, window, bound, state] = [share, undefined, one, known];
    }
    if (window !== undefined) return toldWindow(window);
    if (bound !== undefined) return toldAccount(bound, state, true, nowMs);
    if (own !== undefined && state !== null) return toldBudget(own, state, nowMs);
    const narrowest = narrowestOf(call);
    return narrowest && toldAccount(narrowest, this.quotas.findBudget(narrowest.account), false, nowMs);
  }

  /** All of them: those of the key itself, then from the narrowest to the widest. */
  all(call: ToldCall): VerdictLimitView[] {
    const { record, model, rateLimits, nowMs } = call;
    const views = rateLimits.map(toldWindow);
    const [own] = record.key.limits.accounts;
    const budget = own === undefined ? null : this.quotas.findBudget(own);
    if (own !== undefined && budget !== null) views.push(toldBudget(own, budget, nowMs));
    for (const one of inOrder(record)) {
      if (!isBinding(one.facts, model)) continue;
      views.push(toldAccount(one, this.quotas.findBudget(one.account), seesBound(call, one), nowMs));
    }
    return views;
  }

  /** Adds the numbers of the limit that refused a call, where the caller may know them and this replica does. */
  addNumbers(view: RefusingLimitView, call: ToldCall): void {
    const bound = call.record.limits.limits.find(({ facts }) => facts.id === view.id);
    if (bound === undefined || !seesBound(call, bound)) return;
    const numbers = numbersOf(bound.account, this.quotas.findBudget(bound.account));
    if (numbers !== UNTOLD) addNumbers(view, view.unit, numbers);
  }
}

/** The limits that bind a key, from the narrowest to the widest: those of calls in flight are kept apart. */
function inOrder({ limits: { limits, slots } }: KeyRecord): readonly BoundLimit[] {
  return slots.length === 0 ? limits : ORDER.flatMap((target) => [...limits, ...slots].filter(isOf(target)));
}

const ORDER: readonly LimitTarget[] = ['key', 'owner', 'project', 'installation'];
const isOf =
  (target: LimitTarget) =>
  ({ facts }: BoundLimit): boolean =>
    facts.target === target;

function narrowestOf({ record, model }: ToldCall): BoundLimit | undefined {
  return inOrder(record).find(({ facts }) => isBinding(facts, model));
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

function toldAccount(
  { facts, account }: BoundLimit,
  state: BudgetState | null,
  isSeen: boolean,
  nowMs: number,
): VerdictLimitView {
  const numbers = numbersOf(account, state);
  const isExhausted = numbers !== UNTOLD && numbers.used >= numbers.amount;
  return toldLimit(facts, isSeen ? numbers : UNTOLD, isExhausted, state?.endsAtMs ?? null, nowMs);
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
