import { IsIn, IsString, MaxLength } from 'class-validator';
import { IfPresent, IsId } from '../common/validators.js';

/** By what a summary can be grouped. */
export const SUMMARY_GROUPS = [
  'day',
  'owner',
  'tag',
  'model',
  'key',
  'callTag',
  'chatbot',
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
  @IfPresent()
  @IsString()
  @MaxLength(40)
  from?: string;

  /**
   * End, rounded down as the start is; does not belong to the range, so that ranges which meet share nothing. Absent: the
   * end of the running step.
   * @example "2026-12-01"
   */
  @IfPresent()
  @IsString()
  @MaxLength(40)
  to?: string;
}

/** A stretch of time by the clocks of a zone. */
class ZonedRangeQuery extends RangeQuery {
  /**
   * Whose days and hours are meant, by its name in the IANA database. Absent: UTC.
   * @example "Europe/Berlin"
   */
  @IfPresent()
  @IsString()
  @MaxLength(64)
  timeZone?: string;
}

/** Usage of a key over time. */
export class UsageSeriesQuery extends ZonedRangeQuery {
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
export class UsageSummaryQuery extends ZonedRangeQuery {
  /**
   * `tag`: of keys. `callTag`, `chatbot`, `endpoint`, `status`: of reported events, in up to 35 days. Absent: `day`.
   */
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
