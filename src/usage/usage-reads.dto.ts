import { IsIn, IsString, MaxLength } from 'class-validator';
import { IfPresent, IsId } from '../common/validators.js';

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
  @IfPresent()
  @IsString()
  @MaxLength(40)
  from?: string;

  /**
   * End; does not belong to the range. Absent: now.
   * @example "2026-12-01"
   */
  @IfPresent()
  @IsString()
  @MaxLength(40)
  to?: string;
}

/** Usage of a key over time. */
export class UsageSeriesQuery extends RangeQuery {
  /** `hour`: up to 31 days, by default the last 24 hours. `day`: up to 400 days, by default the last 30. */
  @IfPresent()
  @IsIn(['hour', 'day'])
  interval?: 'hour' | 'day';

  /** One series per model. */
  @IfPresent()
  @IsIn(['model'])
  groupBy?: 'model';
}

/** Usage over all keys. */
export class UsageSummaryQuery extends RangeQuery {
  /** Absent: `day`. */
  @IfPresent()
  @IsIn(SUMMARY_GROUPS)
  groupBy?: SummaryGroup;

  /** Absent: what `Accept` asks for. */
  @IfPresent()
  @IsIn(['json', 'csv'])
  format?: 'json' | 'csv';
}

/** Refused verifies over all keys. */
export class RefusalsQuery extends RangeQuery {
  /** Of this key alone. */
  @IfPresent()
  @IsId()
  apiKeyId?: string;
}
