import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { API_KEY_FIELDS } from '../../packages/contract/src/api-key-fields.js';
import type { Environment } from '../api-keys/api-key.entity.js';
import { BodySchema } from '../common/body-schema.js';
import { looksLikeSecret } from '../common/secret-shape.js';
import { AMOUNT, CHATBOT, MODEL, PRESENTED_KEY, SCOPE, SUBJECT, TOKENS } from '../../packages/contract/src/grammar.js';

/** The fields of a question, as they are checked. */
export const QUESTION_FIELDS = {
  key: PRESENTED_KEY,
  environment: API_KEY_FIELDS.environment.schema,
  // Whatever a proxy wrote: what is no address is an unknown one, and the key decides what that means.
  ip: { type: 'string', maxLength: 512 },
  model: MODEL,
  chatbot: CHATBOT,
  // Kept beside its account.
  subject: {
    ...SUBJECT,
    check: (text: string) => (looksLikeSecret(text) ? 'must not contain an API key' : null),
  },
  scopes: { type: 'array', maxItems: 100, items: SCOPE },
  cost: { type: 'integer', minimum: 1, maximum: 1000 },
  reserveCents: AMOUNT,
  reserveTokens: TOKENS,
  reservationTtlSeconds: { type: 'integer', minimum: 1, maximum: 1800 },
  dryRun: { type: 'boolean' },
  explain: { type: 'boolean' },
  include: { type: 'array', maxItems: 1, items: { type: 'string', enum: ['limits'] } },
} as const;

const QUESTION_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['key'],
  properties: QUESTION_FIELDS,
} as const;

/** May this key do this, now? A member that is null is absent. */
@BodySchema(QUESTION_SCHEMA)
export class VerifyDto {
  /**
   * What the client presented, as it came. Text that can be no key, a token of another system for example, is
   * `MALFORMED`, however long it is.
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  @ApiProperty({ minLength: 1 })
  key: string;

  /**
   * The environment that the call is for: a key of the other is `WRONG_ENVIRONMENT`. Absent: any.
   * @example "live"
   */
  @ApiPropertyOptional({ enum: ['live', 'test'] })
  environment?: Environment | null;

  /**
   * The end user's address, as your service knows it: an address, or what a proxy makes of one (`203.0.113.7:54321`,
   * `[2001:db8::5]:443`, `fe80::1%eth0`). Text that is no address counts as none: a key restricted by address is
   * refused
   * without one.
   * @example "203.0.113.7"
   */
  @ApiPropertyOptional({ maxLength: 512 })
  ip?: string | null;

  /**
   * The model the call is for: 1 to 128 characters without control characters. A key restricted by model is refused
   * without it.
   * @example "gpt-4o-mini"
   */
  @ApiPropertyOptional({ minLength: 1, maxLength: 128 })
  model?: string | null;

  /**
   * The chatbot the call is for: 1 to 128 characters without control characters. A key restricted by chatbot is refused
   * without it.
   * @example "support-bot"
   */
  @ApiPropertyOptional({ minLength: 1, maxLength: 128 })
  chatbot?: string | null;

  /**
   * The end user that the call is for, as your service names it: 1 to 128 visible ASCII characters. Where an
   * enforced limit has an account for each subject, a call without one is refused. Send a stable id, not a name or an
   * address.
   * @example "user-4711"
   */
  @ApiPropertyOptional({ minLength: 1, maxLength: 128 })
  subject?: string | null;

  /**
   * Scopes the call needs, all of them.
   * @example ["chat:write"]
   */
  @ApiPropertyOptional({ maxItems: 100 })
  scopes?: string[] | null;

  /**
   * How many requests of the rate limits the call counts as, 1 to 1000.
   * @example 1
   */
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 1000, default: 1 })
  cost?: number | null;

  /**
   * Cents of the budget to hold for this call until it is reported: an upper bound of its cost. Decimals beyond six are
   * rounded up.
   * @example 1.5
   */
  @ApiPropertyOptional({ minimum: 0, maximum: 1_000_000_000 })
  reserveCents?: number | null;

  /**
   * Tokens to hold for this call in limits of tokens until it is reported: an upper bound of what it takes in and gives
   * out. In limits of tokens by minute they count for a minute, and what was not used is free again with the report.
   * Absent: the `defaultReserveTokens` of the key, where a limit of tokens binds the call; 0: none.
   * @example 4000
   */
  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 1_000_000_000_000 })
  reserveTokens?: number | null;

  /**
   * How long the reservation holds, in seconds, 1 to 1800. What is reported later is charged as late.
   * @example 60
   */
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 1800, default: 60 })
  reservationTtlSeconds?: number | null;

  /** Decide, but consume nothing. */
  @ApiPropertyOptional({ default: false })
  dryRun?: boolean | null;

  /** List every check with its outcome. */
  @ApiPropertyOptional({ default: false })
  explain?: boolean | null;

  /**
   * What the verdict tells besides. `limits`: all limits of the call, those of the key itself first.
   * @example ["limits"]
   */
  @ApiPropertyOptional({ enum: ['limits'], isArray: true, maxItems: 1 })
  include?: 'limits'[] | null;
}

/** A question once its form is checked: null, which means absent, is gone. */
export type VerifyQuestion = { [Field in keyof VerifyDto]: Exclude<VerifyDto[Field], null> };

/** Several questions at once. */
@BodySchema({
  type: 'object',
  additionalProperties: false,
  required: ['items'],
  properties: { items: { type: 'array', minItems: 1, maxItems: 100 } },
})
export class VerifyBatchDto {
  /**
   * 1 to 100 questions, each decided by itself; one whose form is wrong is `VALIDATION_FAILED`, and spoils no other.
   */
  @ApiProperty({ type: () => [VerifyDto], minItems: 1, maxItems: 100 })
  items: VerifyDto[];
}
