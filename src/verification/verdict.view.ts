import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { BudgetType, Environment } from '../api-keys/api-key.entity.js';
import type { CheckOutcome, VerdictCode } from './checks.js';
import { VERDICT_CODES } from './checks.js';
import { LIMIT_PERIODS, LIMIT_UNITS, type LimitPeriod, type LimitUnit } from '../quotas/limits/limit-facts.js';
import { SentencePartView } from '../common/sentence-part.view.js';
import { FieldErrorView } from '../common/problem.view.js';
import { LimitNumbersView, VerdictLimitView } from './verdict-limit.view.js';

/** One check of an explanation. */
export class CheckView implements CheckOutcome {
  /** @example "expiry" */
  check: string;

  /** @example "passed" */
  outcome: 'passed' | 'failed' | 'skipped';

  /** @example "Passed." */
  detail: string;

  /** `detail` in parts, where it names an amount or an instant. */
  @ApiPropertyOptional({ type: [SentencePartView] })
  detailParts?: readonly SentencePartView[];
}

/** One rate limit of the key, as of the last time it was asked for. */
export class RateLimitView {
  @ApiProperty({ enum: ['minute', 'hour', 'day'], example: 'minute' })
  window: 'minute' | 'hour' | 'day';

  /**
   * Requests in any interval of the window's length.
   * @example 60
   */
  limit: number;

  /**
   * How many more are left.
   * @example 41
   */
  remaining: number;

  /**
   * Seconds until all of them are there again if none is used; at most those of the window.
   * @example 37
   */
  resetSeconds: number;
}

/** The key's budget, as of the last time it was asked for. */
export class BudgetView {
  @ApiProperty({ enum: ['total', 'monthly'], example: 'monthly' })
  type: BudgetType;

  /**
   * What holds now: with a raise while it runs.
   * @example 500
   */
  limitCents: number;

  /**
   * The part of it that a raise gives; absent: none runs.
   * @example 200
   */
  raisedByCents?: number;

  /** @example 12.034 */
  spentCents: number;

  /**
   * Held by reservations. What other replicas have in hand for the next calls counts as held.
   * @example 1
   */
  heldCents: number;

  /** @example 486.966 */
  remainingCents: number;
}

/** The limit that refused a call. Its numbers are there where the caller may know them and this replica does. */
export class RefusingLimitView extends LimitNumbersView {
  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /** @example "Search, monthly" */
  name: string;

  @ApiProperty({ enum: LIMIT_UNITS, example: 'cents' })
  unit: LimitUnit;

  /** null: calls in flight, which no period counts. */
  @ApiProperty({ enum: LIMIT_PERIODS, nullable: true, example: 'month' })
  per: LimitPeriod | null;

  /** `ok`: it refused for the subject, which was not given or is one too many. */
  @ApiProperty({ enum: ['exhausted', 'ok'], example: 'exhausted' })
  state: 'exhausted' | 'ok';

  /**
   * When the limit starts anew, or nothing counts any more of what was used of one by minute or hour; absent: it never
   * does, or it is of calls in flight.
   * @example "2030-02-01T00:00:00.000Z"
   */
  resetsAt?: string;
}

/**
 * What is held for this call until it is reported or released: budget, tokens, and a slot in limits of calls in flight.
 */
export class ReservationView {
  /** Opaque; give it to `POST /usage` or `POST /reservations/release`. */
  id: string;

  /** @example "2030-01-31T12:00:00.000Z" */
  expiresAt: string;

  /** @example 1 */
  cents: number;

  /**
   * With `reserveTokens`, and where they are assumed.
   * @example 4000
   */
  tokens?: number;

  /**
   * The call gave no `reserveTokens`: `tokens` are the `defaultReserveTokens` of its key.
   * @example true
   */
  assumed?: boolean;
}

/** The answer to a verify. */
export class VerdictView {
  /** @example true */
  valid: boolean;

  /** Why: a closed set of names. */
  @ApiProperty({ enum: VERDICT_CODES, example: 'VALID' })
  code: VerdictCode;

  /** With a refusal: a sentence. */
  detail?: string;

  /** With a refusal that ends by itself: when to ask again. */
  retryAfterSeconds?: number;

  /**
   * With `BUDGET_EXCEEDED`, `RATE_LIMITED` or `CONCURRENCY_LIMITED`: the narrowest limit that refuses. Absent: a budget
   * or a rate limit of the key itself does.
   */
  limit?: RefusingLimitView;

  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  keyId?: string;

  /** @example "Billing service" */
  name?: string;

  ownerId?: string;

  @ApiPropertyOptional({ enum: ['live', 'test'], example: 'live' })
  environment?: Environment;

  /** @example ["chat:write"] */
  @ApiPropertyOptional({ type: [String] })
  scopes?: readonly string[];

  @ApiPropertyOptional({
    type: [String],
    description:
      'Names that the maker of the key wrote. Within Latchkey they grant no more than the owner holds; authorise nothing else by them.',
  })
  roles?: readonly string[];

  @ApiPropertyOptional({ type: [String] })
  tags?: readonly string[];

  @ApiPropertyOptional({ type: 'object', additionalProperties: { type: 'string' } })
  metadata?: Readonly<Record<string, string>>;

  /** Of a key with rate limits. */
  rateLimits?: RateLimitView[];

  /** Of a key with a budget. */
  budget?: BudgetView;

  /**
   * Of an accepted call of a key that limits bind: the limit of which the least part is left, among those whose numbers
   * the caller may know, those of the key itself included. Where there is none, the narrowest limit, without numbers.
   */
  tightest?: VerdictLimitView;

  /**
   * With `include: ["limits"]` or `explain`, of an accepted call or with `dryRun`: every limit of the call, those of
   * the key itself first, then from the narrowest to the widest.
   */
  limits?: VerdictLimitView[];

  /**
   * When something was to be reserved, and was; always when a limit of calls in flight binds the key, or a limit of
   * tokens one that has `defaultReserveTokens`.
   */
  reservation?: ReservationView;

  /** The server has not heard of changes for more than 3 seconds: a revocation of late may not be known here. */
  degraded: boolean;

  /** With `explain`: every check, in the order they are made. */
  checks?: CheckView[];

  /** With `VALIDATION_FAILED`, in a batch only: every wrong field of the item, by its path inside of the item. */
  errors?: FieldErrorView[];
}

/** The answers to several questions, in their order. */
export class VerdictsView {
  results: VerdictView[];
}
