import { ApiProperty } from '@nestjs/swagger';
import { VERDICT_CODES, type VerdictCode } from '../checks.js';
import { VerdictLimitView } from '../verdict-limit.view.js';
import { BudgetView, CheckView, RateLimitView } from '../verdict.view.js';

/** What a verify of the key's secret would come to, and why. Nothing was consumed. */
export class ExplanationView {
  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  keyId: string;

  /**
   * Whether every check passes.
   * @example true
   */
  valid: boolean;

  /** The code of the first check that fails; `VALID` where none does. */
  @ApiProperty({ enum: VERDICT_CODES, example: 'VALID' })
  code: VerdictCode;

  /** With a refusal: a sentence. */
  detail?: string;

  /** Every check in the order they are made, each with its own outcome, whether or not an earlier one failed. */
  checks: CheckView[];

  /** The key's rate limits as they stand in the database. */
  rateLimits: RateLimitView[];

  /** The key's budget as it stands in the database; null: unlimited. */
  budget: BudgetView | null;

  /**
   * The limit of which the least part is left, among those whose numbers the caller may know; null: nothing limits the
   * call.
   */
  tightest: VerdictLimitView | null;

  /** Every limit of the call: those of the key itself first, then from the narrowest to the widest. */
  limits: VerdictLimitView[];
}
