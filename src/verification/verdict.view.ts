import type { CheckOutcome, VerdictCode } from './checks.js';
import { VERDICT_CODES } from './checks.js';
import { ApiProperty } from '@nestjs/swagger';

/** One check of an explanation. */
export class CheckView implements CheckOutcome {
  /** @example "expiry" */
  check: string;

  /** @example "passed" */
  outcome: 'passed' | 'failed' | 'skipped';

  /** @example "Passed." */
  detail: string;
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

  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  keyId?: string;

  /** @example "Billing service" */
  name?: string;

  ownerId?: string;

  /** @example ["chat:write"] */
  scopes?: string[];

  roles?: string[];

  tags?: string[];

  metadata?: Record<string, string>;

  /** With `explain`: every check, in the order they are made. */
  checks?: CheckView[];
}
