import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { LIMIT_PERIODS, LIMIT_UNITS, type LimitUnit } from '../quotas/limits/limit-facts.js';

/** Any 24 hours: `day` is a day of the calendar. */
const SLIDING_DAY = '24-hours';

/** How often what a verdict tells of starts anew: the periods of limits, and the rate limits of a key. */
export const TOLD_PERIODS = [...LIMIT_PERIODS, SLIDING_DAY] as const;
export type ToldPeriod = (typeof TOLD_PERIODS)[number];

/** The name of the period of a rate limit of a key. */
export const PERIOD_OF_WINDOW = { minute: 'minute', hour: 'hour', day: SLIDING_DAY } as const;

/** How far a limit is used, in its unit. */
export class LimitNumbersView {
  /**
   * What there may be: with an override, or a raise of the key, while it runs.
   * @example 50000
   */
  amount?: number;

  /** @example 12034.5 */
  used?: number;

  /**
   * Reserved, or in hand of other replicas for the next calls.
   * @example 100
   */
  held?: number;

  /**
   * What is neither used nor held.
   * @example 37865.5
   */
  remaining?: number;
}

/**
 * A limit of a call as a verdict tells it. `name`, `amount`, `used`, `held` and `remaining` are there where the caller
 * may know them and this replica does.
 */
export class VerdictLimitView extends LimitNumbersView {
  /**
   * null: a rate limit or the budget of the key itself.
   * @example "019a8b5e-0006-7ed9-ba07-90d28573f4bb"
   */
  @ApiProperty({ type: String, nullable: true })
  id: string | null;

  /** @example "Search, monthly" */
  name?: string;

  @ApiProperty({ enum: LIMIT_UNITS, example: 'cents' })
  unit: LimitUnit;

  /** `minute`, `hour` and `24-hours` are any interval of that length; null: calls in flight, which no period counts. */
  @ApiProperty({ enum: TOLD_PERIODS, nullable: true, example: 'month' })
  per: ToldPeriod | null;

  /** `exhausted`: the amount is used, and the limit is enforced. */
  @ApiProperty({ enum: ['ok', 'exhausted'], example: 'ok' })
  state: 'ok' | 'exhausted';

  /**
   * When it counts from 0 again; of a limit by minute or hour, when nothing counts any more of what was used. Absent:
   * never, nothing counts, or it is a rate limit of the key.
   * @example "2030-02-01T00:00:00.000Z"
   */
  @ApiPropertyOptional()
  resetsAt?: string;

  /**
   * Seconds until then; of a rate limit of the key, until all of it is there again if nothing more is used.
   * @example 86400
   */
  resetSeconds?: number;
}
