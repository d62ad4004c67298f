import { ApiProperty } from '@nestjs/swagger';
import type { BudgetType } from '../api-keys/api-key.entity.js';
import { centsFromMicroCents } from '../common/money.js';
import { SUMMARY_GROUPS, type SummaryGroup } from './usage-reads.dto.js';

const MAX_COUNT = BigInt(Number.MAX_SAFE_INTEGER);

/** Sums of usage; money in micro-cents. */
export interface UsageSums {
  readonly requests: bigint;
  readonly inputTokens: bigint;
  readonly outputTokens: bigint;
  readonly costMicroCents: bigint;
}

/** One rate limit of a key, as its windows stand. */
export class KeyRateLimitView {
  @ApiProperty({ enum: ['minute', 'hour', 'day'], example: 'minute' })
  window: 'minute' | 'hour' | 'day';

  /** @example 60 */
  limit: number;

  /** What is left. Permits that replicas have in hand count as used. */
  remaining: number;

  /** Until the window is whole again, if nothing more is used; at most the length of the window. */
  resetSeconds: number;
}

/** The budget of a key, as its account stands. */
export class KeyBudgetView {
  type: BudgetType;

  /**
   * What holds now: with a raise while it runs.
   * @example 500
   */
  limitCents: number;

  /** The part of it that a raise gives; 0: none runs. */
  raisedByCents: number;

  /** When the raise ends; null: none runs. */
  raisedUntil: Date | null;

  /** What has been charged, reported costs beyond the limit included. */
  spentCents: number;

  /**
   * The same in millionths of a cent, exact at any size.
   * @example "12034000"
   */
  spentMicroCents: string;

  /** What is reserved. For a second after a call, also what other replicas than this one have set aside. */
  heldCents: number;

  /** What this replica has set aside for the next calls; a part of `remainingCents`. */
  setAsideCents: number;

  /** What is neither spent nor held. */
  remainingCents: number;

  /** First day of the month, or null: a total budget. */
  periodStart: Date | null;

  periodEnd: Date | null;

  /**
   * When it is used up at the rate so far: of a monthly budget, that of this month; of a total one, that of the last
   * seven days. Now, where nothing is left; null: not in this period, nothing was spent, or known for less than a day.
   */
  usedUpAt: Date | null;
}

/** What a key has used. Today and this hour are those of UTC. Requests and tokens are as reported. */
export class KeyUsageView {
  apiKeyId: string;

  totalRequests: number;

  totalTokens: number;

  totalCostCents: number;

  /**
   * The same in millionths of a cent, exact at any size.
   * @example "812250000"
   */
  totalCostMicroCents: string;

  requestsToday: number;

  tokensToday: number;

  costTodayCents: number;

  requestsThisHour: number;

  tokensThisHour: number;

  costThisHourCents: number;

  /** Verifies that allowed, a second or so late. */
  acceptedVerifiesToday: number;

  /**
   * Verifies that refused, by code, a second or so late.
   * @example { "RATE_LIMITED": 3 }
   */
  refusalsToday: Record<string, number>;

  /** The later of the last report and the last accepted verify, the latter to the minute. */
  lastUsedAt: Date | null;

  rateLimits: KeyRateLimitView[];

  /** null: unlimited. */
  budget: KeyBudgetView | null;
}

/** Usage within one step. */
export class UsagePointView {
  /** Start of the step. */
  at: Date;

  requests: number;

  inputTokens: number;

  outputTokens: number;

  totalTokens: number;

  costCents: number;

  /**
   * The cost in millionths of a cent, exact at any size.
   * @example "812250000"
   */
  costMicroCents: string;

  static from(at: Date, sums: UsageSums): UsagePointView {
    return { at, ...amountsOf(sums) };
  }
}

/** One line of a chart. */
export class UsageLineView {
  /** With `groupBy=model`: null is usage without a model. */
  model?: string | null;

  /** With `groupBy=model`: all models beyond the fifty that cost most, together. */
  isRest?: boolean;

  /** Every step of the range, in order; steps without usage are zero. */
  points: UsagePointView[];
}

/** Usage of a key over time. */
export class UsageSeriesView {
  apiKeyId: string;

  interval: 'hour' | 'day';

  /** Rounded down to a whole step, as `to` is. */
  from: Date;

  to: Date;

  /** @example "Europe/Berlin" */
  timeZone: string;

  series: UsageLineView[];
}

/** Usage of one group. */
export class UsageSummaryRowView {
  /**
   * The day, id, tag, model and so on; null: none. An owner is null for keys that were deleted before versions of keys
   * were kept.
   * @example "2026-11-21"
   */
  group: string | null;

  /** Of owners and keys: their last in the range. */
  name: string | null;

  requests: number;

  inputTokens: number;

  outputTokens: number;

  totalTokens: number;

  /** @example 812.25 */
  costCents: number;

  /**
   * The cost in millionths of a cent, exact at any size.
   * @example "812250000"
   */
  costMicroCents: string;

  static from(group: string | null, name: string | null, sums: UsageSums): UsageSummaryRowView {
    return { group, name, ...amountsOf(sums) };
  }
}

/** Sums over the whole range. */
export class UsageTotalsView {
  requests: number;

  inputTokens: number;

  outputTokens: number;

  totalTokens: number;

  costCents: number;

  /**
   * The cost in millionths of a cent, exact at any size.
   * @example "812250000"
   */
  costMicroCents: string;

  static from(sums: UsageSums): UsageTotalsView {
    return amountsOf(sums);
  }
}

/** Sums over another range than that of the summary. */
export class UsagePeriodView {
  from: Date;

  to: Date;

  totals: UsageTotalsView;
}

/**
 * Usage over all keys. A report about the past never changes: what keys are called and whose they are later does not
 * count.
 */
export class UsageSummaryView {
  /** Rounded down to a whole hour, as `to` is. */
  from: Date;

  to: Date;

  /** @example "Europe/Berlin" */
  timeZone: string;

  /**
   * Usage before this instant was booked by a release that did not keep owners, tags and names: it has those of this
   * instant. null: there is none of it in the range.
   */
  assumedBefore: Date | null;

  @ApiProperty({ enum: SUMMARY_GROUPS })
  groupBy: SummaryGroup;

  /** Everything, counted once; what has several tags counts in the row of each. */
  totals: UsageTotalsView;

  /** With `compare=previous`: the period before. */
  previous?: UsagePeriodView;

  /** Days in order, everything else by cost. Owners and tags are those that the keys had when they were used. */
  rows: UsageSummaryRowView[];

  /** There are more than a thousand groups; the CSV has up to 100 000. */
  isCapped: boolean;
}

/** A budget that will be used up soon. */
export class BudgetForecastView {
  apiKeyId: string;

  name: string;

  ownerId: string;

  ownerName: string;

  /** `monthly`: of this month of UTC. */
  type: BudgetType;

  limitCents: number;

  spentCents: number;

  /**
   * When it is used up at the rate so far: of a monthly budget, that of this month; of a total one, that of the last
   * seven days.
   */
  usedUpAt: Date;
}

/** Budgets that will be used up soon, the earliest first. */
export class BudgetForecastsView {
  /** The instant of the forecast. */
  at: Date;

  /** Monthly budgets start anew at this instant. */
  monthEndsAt: Date;

  /**
   * Of active keys, at most 20: monthly budgets that will be used up before the month ends, total ones that will be
   * within
   * 30 days. Those that are used up already are not here.
   */
  data: BudgetForecastView[];

  /** There are more. */
  isCapped: boolean;
}

/** How often one key was refused for one reason. */
export class RefusalView {
  apiKeyId: string;

  /** null: the key has been deleted. */
  name: string | null;

  ownerId: string | null;

  /** @example "BUDGET_EXCEEDED" */
  code: string;

  count: number;

  /** The first and last minute in which it happened. */
  firstAt: Date;

  lastAt: Date;
}

/** Refused verifies over all keys. Strings that prove no key are not counted here. */
export class RefusalsView {
  from: Date;

  to: Date;

  /**
   * By code, all keys together.
   * @example { "RATE_LIMITED": 12 }
   */
  counts: Record<string, number>;

  /** Most refused first, at most a thousand. */
  refusals: RefusalView[];

  isCapped: boolean;
}

function amountsOf({ requests, inputTokens, outputTokens, costMicroCents }: UsageSums): UsageTotalsView {
  return {
    requests: countOf(requests),
    inputTokens: countOf(inputTokens),
    outputTokens: countOf(outputTokens),
    totalTokens: countOf(inputTokens + outputTokens),
    costCents: centsFromMicroCents(costMicroCents),
    costMicroCents: costMicroCents.toString(),
  };
}

/** A count as JSON has it: at most 2^53 - 1, up to where every number is exact. */
export function countOf(sum: bigint): number {
  return sum < MAX_COUNT ? Number(sum) : Number.MAX_SAFE_INTEGER;
}
