import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { type SentencePart, inParts } from '../../packages/contract/src/sentence.js';
import { unavailable } from '../common/domain-error.js';
import type { BoundLimit, KeyLimits, SlidingLimit } from '../quotas/key-limits.js';
import {
  accountsFor,
  bindTokens,
  isBinding,
  ofSubject,
  requiringSubject,
  slotsFor,
  windowsFor,
} from '../quotas/key-limits.js';
import { type BindingLimit, LimitAccounts } from '../quotas/limits/limit-accounts.js';
import type { LimitViewer } from '../limits/limit-visibility.js';
import {
  lacksSubject,
  limitCheck,
  limitDetail,
  refusingLimitView,
  tooManySubjectsDetail,
  withoutSubject,
} from './limit-refusal.js';
import { seesBinding, storedLimits } from './stored-limits.js';
import { VerificationMetrics } from './verification-metrics.js';
import { centsFromMicroCents } from '../common/money.js';
import type { Admission, CountedDraw, Refused } from '../quotas/admission.js';
import type { LimitFacts } from '../quotas/limits/limit-facts.js';
import type { WindowName } from '../quotas/quota-store.js';
import { type BudgetStanding, findBudget } from '../quotas/budget-reader.js';
import { type GivenReservation, type QuotaQuestion, Quotas } from '../quotas/quotas.service.js';
import type { Sql } from '../quotas/sql.js';
import { readWindows, resetSecondsOf } from '../quotas/window-reader.js';
import { type CheckOutcome, type StaticDecision, detailOf } from './checks.js';
import type { KeyFacts, KeyRecord } from '../key-cache/records/key-record.js';
import type { VerdictLimitView } from './verdict-limit.view.js';
import type { BudgetView, RateLimitView, RefusingLimitView } from './verdict.view.js';
import {
  type AskedOfLimits as Asked,
  assumedTokens,
  assumption,
  isReserving,
  needOf,
  questionOf,
  withAssumption,
} from './quota-question.js';

/** Why budgets or windows refuse, and when to ask again (null: waiting does not help). */
export interface QuotaRefusal extends StaticDecision {
  readonly retryAfterSeconds: number | null;
  /** The limit that refused; absent: a window or the budget of the key itself. */
  readonly limit?: RefusingLimitView;
}

/** What budgets and windows come to. */
export interface QuotaOutcome {
  readonly refusal: QuotaRefusal | null;
  /** A window was counted by this replica alone. */
  readonly isDegraded: boolean;
  readonly reservation: GivenReservation | null;
  /** What limits of requests have counted of a call that waited. */
  readonly counted?: readonly CountedDraw[];
}

/** Who asks what a call would come to, and when by the clock of the database. */
export interface SnapshotViewer {
  readonly viewer: LimitViewer;
  readonly nowMs: number;
  /**
   * Whether a limit whose numbers the viewer may not know is told without regard to what the call reserves: else they
   * would be found by asking often enough.
   */
  readonly isBlind: boolean;
}

/** Budgets and windows as they stand, and what a call would come to. */
export interface QuotaSnapshot {
  readonly rateLimits: RateLimitView[];
  readonly budget: BudgetView | null;
  readonly refusal: QuotaRefusal | null;
  readonly checks: CheckOutcome[];
  /** Those of the key itself first, then from the narrowest to the widest. */
  readonly limits: VerdictLimitView[];
  /** The one of which the least part is left, of those whose numbers the viewer may know; null: nothing limits it. */
  readonly tightest: VerdictLimitView | null;
}

const PASSED: QuotaOutcome = Object.freeze({ refusal: null, isDegraded: false, reservation: null });

/** The last check of a verify: rate windows and budget, in one all-or-nothing step. */
@Injectable()
export class QuotaGate {
  private readonly sql: Sql;

  constructor(
    private readonly quotas: Quotas,
    private readonly limitAccounts: LimitAccounts,
    private readonly meters: VerificationMetrics,
    dataSource: DataSource,
  ) {
    this.sql = (text, values) => dataSource.query(text, [...values]);
  }

  /**
   * Takes the call: at once where memory suffices.
   *
   * @throws DomainError 503, as the promise's rejection, when nothing can be decided
   */
  admit(
    { key, limits: all }: KeyRecord,
    asked: Asked,
    callerId: string,
    databaseNowMs: number,
  ): QuotaOutcome | Promise<QuotaOutcome> {
    if (all.bySubject !== null && asked.subject === undefined) {
      const requiring = requiringSubject(all, asked.model);
      if (requiring !== null) return this.refusedWithoutSubject(requiring);
    }
    const limits = ofSubject(all, asked.subject);
    const isFree = limits.windows.length === 0 && limits.accounts.length === 0 && limits.slots.length === 0;
    if (isFree && !isReserving(asked)) return PASSED;
    const assumed = assumedTokens(key, asked, () => bindTokens(limits, asked.model));
    const own = questionOf(asked, assumed);
    const question = limits.isByModel ? { ...own, model: asked.model } : own;
    const admission = this.quotas.admit(limits, question);
    return admission instanceof Promise
      ? admission.then((later) => this.outcome(later, key, limits, callerId, question, databaseNowMs))
      : this.outcome(admission, key, limits, callerId, question, databaseNowMs);
  }

  /** Ends what was reserved and counted for a call that is refused after all, or decided anew. */
  async undo({ reservation, counted }: QuotaOutcome): Promise<void> {
    if (counted !== undefined) this.quotas.uncount(counted);
    if (reservation !== null) await this.quotas.release(reservation.id);
  }

  /** Whether the same limits bind the call, and for as much, though its key, owner or project has changed. */
  isBoundAlike(one: KeyRecord, other: KeyRecord, { model, subject, reserveTokens }: Asked): boolean {
    const isSaid = reserveTokens !== undefined;
    if (!isSaid && one.key.defaultReserveTokens !== other.key.defaultReserveTokens) return false;
    if (one.limits === other.limits) return true;
    const ids = ({ limits: all }: KeyRecord): (string | undefined)[] => {
      const limits = ofSubject(all, subject);
      const accounts = [...accountsFor(limits, model), ...(slotsFor(limits, model) ?? [])];
      // One that has begun to need a subject decides a call without one.
      const requiring = subject === undefined ? requiringSubject(limits, model)?.id : undefined;
      const windows = windowsFor(limits, model).filter(({ of }) => of !== undefined);
      return [
        requiring,
        ...accounts.flatMap(({ id, limit }) => (limit === undefined ? [] : [id])),
        ...windows.map(({ id }) => id),
      ];
    };
    return ids(one).join() === ids(other).join();
  }

  /** What a call would come to, read from the database; consumes nothing. */
  async snapshot(
    { key }: Pick<KeyRecord, 'key'>,
    asked: Asked,
    { viewer, nowMs, isBlind }: SnapshotViewer,
  ): Promise<QuotaSnapshot> {
    const bound = await this.bindingLimits(key.id, asked);
    const bindsTokens = (one: BindingLimit): boolean => one.limit.unit === 'tokens' && !lacksSubject(one);
    const assumed = assumedTokens(key, asked, () => bound.some(bindsTokens));
    const question = questionOf(asked, assumed);
    const windows = await readWindows(this.sql, key.id, windowLimitsOf(key));
    const budget = await findBudget(this.sql, key.id, this.quotas.unusedOf(key.id));
    const rateLimits = windows.map(({ window, limit, remaining, resetMs }) =>
      rateLimitView(window, limit, remaining, resetMs),
    );
    const checks: CheckOutcome[] = [];
    let refusal: QuotaRefusal | null = null;
    for (const { window, limit, remaining, resetMs } of windows) {
      const passes = question.cost <= remaining;
      const detail = `${remaining} of ${limit} requests are left in this ${window}; the call counts as ${question.cost}.`;
      checks.push({ check: `rate-limit-${window}`, outcome: passes ? 'passed' : 'failed', detail });
      if (!passes)
        refusal ??= {
          code: 'RATE_LIMITED',
          detail: rateDetail(window, limit, question.cost),
          retryAfterSeconds: question.cost > limit ? null : seconds(resetMs),
        };
    }
    if (budget !== null) {
      const need = question.reserveMicroCents ?? 0n;
      const passes = need === 0n ? budget.remaining > 0n : need <= budget.remaining;
      checks.push(budgetCheck(budget, need, passes));
      if (!passes) refusal ??= { code: 'BUDGET_EXCEEDED', detail: BUDGET_DETAIL, retryAfterSeconds: null };
    }
    for (const one of bound) {
      const mayKnow = !isBlind || seesBinding(viewer, one);
      const { check, refuses } = limitCheck(one, mayKnow ? needOf(one.limit.unit, question) : null);
      const said = lacksSubject(one) ? '' : assumption(one.limit.unit, question);
      checks.push(withAssumption(check, said));
      refusal ??= refuses === null ? null : withAssumption(refuses, said);
    }
    return {
      rateLimits,
      ...storedLimits({ rateLimits, budget, bound }, viewer, nowMs),
      budget: budget === null ? null : budgetView(budget.type, budget.limit, budget.spent, budget.held, budget.raise),
      refusal,
      checks,
    };
  }

  /** The key's windows as this replica knows them; those it has not asked for are absent. */
  rateLimitsOf(key: KeyFacts): RateLimitView[] | undefined {
    const { windows } = key.limits;
    if (windows.length === 0) return undefined;
    const views: RateLimitView[] = [];
    for (const window of windows) {
      const state = this.quotas.findWindow(window);
      if (state !== null) views.push(rateLimitView(window.window, state.limit, state.remaining, state.resetMs));
    }
    return views;
  }

  /** The key's budget as this replica knows it. */
  budgetOf(key: KeyFacts): BudgetView | undefined {
    // Without limits: those that bind it beside its own budget are not shown as one.
    const [account] = key.limits.accounts;
    const state = account === undefined ? null : this.quotas.findBudget(account);
    if (account === undefined || state === null || state.limit === null) return undefined;
    return budgetView(account.type, state.limit, state.spent, state.leased, state.raise);
  }

  private async bindingLimits(keyId: string, { model, subject }: Asked): Promise<BindingLimit[]> {
    const bound = await this.limitAccounts.bindingKey(keyId, (id) => this.quotas.unusedOf(id), subject);
    return bound.filter(({ limit }) => isBinding(limit, model));
  }

  private outcome(
    admission: Admission,
    key: KeyFacts,
    limits: KeyLimits,
    callerId: string,
    question: QuotaQuestion,
    databaseNowMs: number,
  ): QuotaOutcome | Promise<QuotaOutcome> {
    if (!admission.admitted) {
      if (admission.code === 'UNAVAILABLE') return Promise.reject(undecidable(admission.retryAfterMs));
      const refusal = this.refusalOf(admission, key, limits, question, databaseNowMs);
      return { refusal, isDegraded: false, reservation: null };
    }
    const reservation = this.quotas.reservationOf(admission, key.id, callerId, question, databaseNowMs);
    const { degraded: isDegraded, counted } = admission;
    if (reservation === null && !isDegraded && counted === undefined) return PASSED;
    return { refusal: null, isDegraded, reservation, ...(counted === undefined ? {} : { counted }) };
  }

  private refusedWithoutSubject(limit: LimitFacts): QuotaOutcome {
    this.meters.countLimit(limit.target, limit.unit);
    return { refusal: withoutSubject(limit), isDegraded: false, reservation: null };
  }

  private refusalOf(
    { code, window, account, retryAfterMs, isTooLarge }: Refused,
    key: KeyFacts,
    { limits, slots, sliding }: KeyLimits,
    question: QuotaQuestion,
    databaseNowMs: number,
  ): QuotaRefusal {
    const retryAfterSeconds = retryAfterMs === null ? null : seconds(retryAfterMs);
    if (window !== null)
      return { code, detail: rateDetail(window, limitOf(key, window), question.cost), retryAfterSeconds };
    const isIt = (one: BoundLimit): boolean => one.account === account || one.account.id === account?.id;
    const windowed = sliding.find(isIt);
    const bound = windowed ?? [...limits, ...slots].find(isIt);
    if (bound === undefined) return { code, detail: BUDGET_DETAIL, retryAfterSeconds };
    const { target, unit } = bound.facts;
    this.meters.countLimit(target, unit);
    if (code === 'TOO_MANY_SUBJECTS') {
      const limit = refusingLimitView(bound.facts, null, 'ok');
      return { code, detail: tooManySubjectsDetail(target, unit), retryAfterSeconds, limit };
    }
    const resetsAtMs = windowed === undefined ? this.endOf(bound) : this.wholeAt(windowed, databaseNowMs);
    const limit = refusingLimitView(bound.facts, resetsAtMs);
    const detail = limitDetail(target, unit, isTooLarge) + assumption(unit, question);
    return { code, detail, retryAfterSeconds, limit };
  }

  private endOf({ account }: BoundLimit): number | null {
    return this.quotas.findBudget(account)?.endsAtMs ?? null;
  }

  /** When nothing counts any more of what was used by then; null: nothing does, or it is not known. */
  private wholeAt({ window }: SlidingLimit, databaseNowMs: number): number | null {
    const resetMs = this.quotas.findWindow(window)?.resetMs ?? 0;
    return resetMs === 0 ? null : databaseNowMs + resetSecondsOf(window.window, resetMs) * 1000;
  }
}

const BUDGET_DETAIL = 'The budget of the key does not cover this call.';

function rateDetail(window: WindowName, limit: number | null, cost: number): string {
  return limit !== null && cost > limit
    ? `The call counts as ${cost} requests, and the key may make ${limit} per ${window}: it asks for more than the limit allows.`
    : `The rate limit per ${window} is used up.`;
}

function limitOf(key: KeyFacts, window: WindowName): number | null {
  return { minute: key.rateLimitPerMinute, hour: key.rateLimitPerHour, day: key.rateLimitPerDay }[window];
}

function undecidable(retryAfterMs: number | null): Error {
  return unavailable(
    `Budget and rate limits cannot be decided at the moment; try again in ${seconds(retryAfterMs ?? 1000)} s.`,
  );
}

function rateLimitView(
  window: RateLimitView['window'],
  limit: number,
  remaining: number,
  resetMs: number,
): RateLimitView {
  return { window, limit, remaining, resetSeconds: resetSecondsOf(window, resetMs) };
}

function budgetView(type: BudgetView['type'], limit: bigint, spent: bigint, held: bigint, raise: bigint): BudgetView {
  const left = limit - spent - held;
  const view: BudgetView = {
    type,
    limitCents: centsFromMicroCents(limit),
    spentCents: centsFromMicroCents(spent),
    heldCents: centsFromMicroCents(held),
    remainingCents: left > 0n ? centsFromMicroCents(left) : 0,
  };
  if (raise > 0n) view.raisedByCents = centsFromMicroCents(raise);
  return view;
}

function budgetCheck(budget: BudgetStanding, need: bigint, passes: boolean): CheckOutcome {
  const sentence = inParts`${inCents(budget.remaining)} of ${inCents(budget.limit)} is left (${budget.type}${raisedUntil(budget)}); the call reserves ${inCents(need)}.`;
  return { check: 'budget', outcome: passes ? 'passed' : 'failed', ...detailOf(sentence) };
}

function raisedUntil({ raise, raiseUntil }: BudgetStanding): SentencePart[] {
  if (raiseUntil === null) return [];
  return inParts`, raised by ${inCents(raise)} until ${{ at: raiseUntil.toISOString() }}`;
}

function inCents(microCents: bigint): SentencePart {
  return { cents: centsFromMicroCents(microCents) };
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

function windowLimitsOf({ rateLimitPerMinute, rateLimitPerHour, rateLimitPerDay }: KeyRecord['key']) {
  return { minute: rateLimitPerMinute, hour: rateLimitPerHour, day: rateLimitPerDay };
}
