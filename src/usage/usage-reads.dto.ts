import { INSTANT_OR_DAY, SUBJECT, UUID, oneOf } from '../../packages/contract/src/grammar.js';
import type { Schema } from '../../packages/contract/src/schema.js';
import { Field, optional } from '../common/field.js';

/** Which zones there are is known where the range is made. */
const ZONE = { type: 'string', maxLength: 64 } as const satisfies Schema;

/** By what a summary can be grouped. */
export const SUMMARY_GROUPS = [
  'day',
  'owner',
  'project',
  'tag',
  'model',
  'key',
  'callTag',
  'chatbot',
  'subject',
  'endpoint',
  'status',
] as const;

/** One of them. */
export type SummaryGroup = (typeof SUMMARY_GROUPS)[number];

/** A stretch of time. */
class RangeQuery {
  /**
   * Start, an instant or a day; rounded down to a whole step.
   * @example "2026-11-01"
   */
  @Field(optional(INSTANT_OR_DAY))
  from?: string;

  /**
   * End, rounded down as the start is; does not belong to the range, so that ranges which meet share nothing. Absent:
   * the end of the running step.
   * @example "2026-12-01"
   */
  @Field(optional(INSTANT_OR_DAY))
  to?: string;
}

/** A stretch of time by the clocks of a zone. */
class ZonedRangeQuery extends RangeQuery {
  /**
   * Whose days and hours are meant, by its name in the IANA database. Absent: UTC.
   * @example "Europe/Berlin"
   */
  @Field(optional(ZONE))
  timeZone?: string;
}

/** Usage of a key over time. */
export class UsageSeriesQuery extends ZonedRangeQuery {
  /** `hour`: up to 31 days, by default the last 24 hours. `day`: up to 400 days, by default the last 30. */
  @Field(optional(oneOf(['hour', 'day'])))
  interval?: 'hour' | 'day';

  /** One series per model. */
  @Field(optional(oneOf(['model'])))
  groupBy?: 'model';
}

/** What a summary can be compared with. */
export const COMPARISONS = ['previous'] as const;

/** Usage over several keys. */
export class ProjectSummaryQuery extends ZonedRangeQuery {
  /**
   * `tag`: of keys. `callTag`, `chatbot`, `subject`, `endpoint`, `status`: of reported events, in up to 35 days, of
   * months that were not archived. Absent: `day`.
   */
  @Field(optional(oneOf(SUMMARY_GROUPS)))
  groupBy?: SummaryGroup;

  /**
   * Only what was reported for this subject, in up to 35 days, of months that were not archived.
   * @example "user-4711"
   */
  @Field(optional(SUBJECT))
  subject?: string;

  /** `month`: the running month so far, instead of `from` and `to`. */
  @Field(optional(oneOf(['month'])))
  period?: 'month';

  /**
   * `previous`: also the sums of the period before: with `period=month` of the month before up to the same day and time
   * of day, else of a range of the same length.
   */
  @Field(optional(oneOf(COMPARISONS)))
  compare?: (typeof COMPARISONS)[number];

  /** Absent: what `Accept` asks for. */
  @Field(optional(oneOf(['json', 'csv'])))
  format?: 'json' | 'csv';
}

/** Usage over all keys. */
export class UsageSummaryQuery extends ProjectSummaryQuery {
  /**
   * Only what keys used while they were in this project.
   * @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  projectId?: string;
}

/** Which forecasts of budgets. */
export class BudgetForecastsQuery {
  /**
   * Of keys that are in this project.
   * @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  projectId?: string;
}

/** Refused verifies over all keys. */
export class RefusalsQuery extends RangeQuery {
  /** Of this key alone. */
  @Field(optional(UUID))
  apiKeyId?: string;
}
