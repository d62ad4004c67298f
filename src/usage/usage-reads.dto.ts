import { INSTANT_OR_DAY, UUID, oneOf } from '../../packages/contract/src/grammar.js';
import { Field, optional } from '../common/field.js';

/** By what a summary can be grouped. */
export const SUMMARY_GROUPS = ['day', 'owner', 'tag', 'model', 'key'] as const;

/** One of them. */
export type SummaryGroup = (typeof SUMMARY_GROUPS)[number];

/** A stretch of time. */
class RangeQuery {
  /**
   * Start, an instant or a day in UTC; widened to a whole step.
   * @example "2026-11-01"
   */
  @Field(optional(INSTANT_OR_DAY))
  from?: string;

  /**
   * End; does not belong to the range. Absent: now.
   * @example "2026-12-01"
   */
  @Field(optional(INSTANT_OR_DAY))
  to?: string;
}

/** Usage of a key over time. */
export class UsageSeriesQuery extends RangeQuery {
  /** `hour`: up to 31 days, by default the last 24 hours. `day`: up to 400 days, by default the last 30. */
  @Field(optional(oneOf(['hour', 'day'])))
  interval?: 'hour' | 'day';

  /** One series per model. */
  @Field(optional(oneOf(['model'])))
  groupBy?: 'model';
}

/** Usage over all keys. */
export class UsageSummaryQuery extends RangeQuery {
  /** Absent: `day`. */
  @Field(optional(oneOf(SUMMARY_GROUPS)))
  groupBy?: SummaryGroup;

  /** Absent: what `Accept` asks for. */
  @Field(optional(oneOf(['json', 'csv'])))
  format?: 'json' | 'csv';
}

/** Refused verifies over all keys. */
export class RefusalsQuery extends RangeQuery {
  /** Of this key alone. */
  @Field(optional(UUID))
  apiKeyId?: string;
}
