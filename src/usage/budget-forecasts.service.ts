import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { centsFromMicroCents } from '../common/money.js';
import type { BudgetStanding } from '../quotas/budget-reader.js';
import { monthEnd, monthOf } from '../quotas/period.js';
import { usedUpAtMs } from './budget-forecast.js';
import { BudgetForecastsRepository, type BudgetSpend } from './budget-forecasts.repository.js';
import { DAY_MS, HOUR_MS } from './time-range.js';
import type { BudgetForecastsView } from './usage-reads.view.js';

/** The rate of a total budget is that of so long. */
const OBSERVED_MS = 7 * DAY_MS;
/** A total budget has no end of its own; so far ahead it is told. */
const TOTAL_AHEAD_MS = 30 * DAY_MS;
const MAX_FORECASTS = 20;

/** What a forecast does not depend on. */
type KeyColumn = 'apiKeyId' | 'name' | 'ownerId' | 'ownerName';

/** Answers "when is this budget used up, at this rate?". */
@Injectable()
export class BudgetForecastsService {
  constructor(
    private readonly budgets: BudgetForecastsRepository,
    private readonly clock: Clock,
  ) {}

  /** Budgets of active keys (in a project where it is given) that will be used up soon, the earliest first. */
  async soon(projectId: string | null = null): Promise<BudgetForecastsView> {
    const at = this.clock.now();
    const month = monthOf(at.getTime());
    const monthEndsAt = new Date(monthEnd(month));
    const found = await this.budgets.mostUsed(at, month, observedSince(at), projectId);
    const ends = { monthly: monthEndsAt.getTime(), total: at.getTime() + TOTAL_AHEAD_MS };
    const forecasts = found.flatMap((budget) => {
      const usedUpAt = forecastOf(budget, at);
      return usedUpAt === null || usedUpAt.getTime() >= ends[budget.type] ? [] : [{ budget, usedUpAt }];
    });
    // Ties are in the order of the keys: the statement's own order depends on its plan.
    forecasts.sort(
      (one, other) =>
        one.usedUpAt.getTime() - other.usedUpAt.getTime() || (one.budget.apiKeyId < other.budget.apiKeyId ? -1 : 1),
    );
    return {
      at,
      monthEndsAt,
      data: forecasts.slice(0, MAX_FORECASTS).map(({ budget, usedUpAt }) => ({
        apiKeyId: budget.apiKeyId,
        name: budget.name,
        ownerId: budget.ownerId,
        ownerName: budget.ownerName,
        type: budget.type,
        limitCents: centsFromMicroCents(budget.limit),
        spentCents: centsFromMicroCents(budget.spent),
        usedUpAt,
      })),
      isCapped: forecasts.length > MAX_FORECASTS,
    };
  }

  /** When the budget of a key is used up; null: not in its period, or it cannot be told. */
  async ofKey(key: { id: string; createdAt: Date }, budget: BudgetStanding): Promise<Date | null> {
    const now = this.clock.now();
    const { type, spent, carried, periodEnd } = budget;
    const observed = type === 'monthly' ? spent - carried : await this.budgets.costSince(key.id, observedSince(now));
    const usedUpAt = forecastOf({ ...budget, observed, createdAt: key.createdAt }, now);
    return usedUpAt === null || (periodEnd !== null && usedUpAt >= periodEnd) ? null : usedUpAt;
  }
}

/**
 * A key that was made in the time that is observed has spent since it was made. A raise that ends before its money is
 * spent leaves the limit without it: the budget is used up then, or when that limit is reached.
 */
function forecastOf(
  { type, limit, raise, raiseUntil, spent, observed, createdAt }: Omit<BudgetSpend, KeyColumn>,
  now: Date,
): Date | null {
  const nowMs = now.getTime();
  const sinceMs = type === 'monthly' ? Date.parse(monthOf(nowMs)) : observedSince(now).getTime();
  const overMs = nowMs - Math.max(sinceMs, createdAt.getTime());
  const atLimitMs = (reached: bigint) => usedUpAtMs(reached - spent, { spent: observed, overMs }, nowMs);
  const raisedMs = atLimitMs(limit);
  if (raiseUntil === null || (raisedMs !== null && raisedMs <= raiseUntil.getTime())) return dateOf(raisedMs);
  const plainMs = atLimitMs(limit - raise);
  return dateOf(plainMs === null ? null : Math.max(plainMs, raiseUntil.getTime()));
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}

/** Rollups are by the hour. */
function observedSince(now: Date): Date {
  return new Date(Math.floor((now.getTime() - OBSERVED_MS) / HOUR_MS) * HOUR_MS);
}
