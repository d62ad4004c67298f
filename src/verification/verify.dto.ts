import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { BodySchema } from '../common/body-schema.js';

/** The fields of a question, as they are checked. */
export const QUESTION_FIELDS = {
  key: { type: 'string', minLength: 1, maxLength: 512 },
  ip: { type: 'string', format: 'ip' },
  model: { type: 'string', minLength: 1, maxLength: 128 },
  chatbot: { type: 'string', minLength: 1, maxLength: 128 },
  scopes: { type: 'array', maxItems: 100, items: { type: 'string', pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,128}$' } },
  cost: { type: 'integer', minimum: 1, maximum: 1000 },
  reserveCents: { type: 'number', cents: true },
  reservationTtlSeconds: { type: 'integer', minimum: 1, maximum: 1800 },
  dryRun: { type: 'boolean' },
  explain: { type: 'boolean' },
} as const;

const QUESTION_SCHEMA = { type: 'object', additionalProperties: false, required: ['key'], properties: QUESTION_FIELDS } as const;

/** May this key do this, now? */
@BodySchema(QUESTION_SCHEMA)
export class VerifyDto {
  /**
   * What the client presented, as it came.
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  @ApiProperty({ minLength: 1, maxLength: 512 })
  key: string;

  /**
   * The end user's address, as your service knows it. A key restricted by address is refused without it.
   * @example "203.0.113.7"
   */
  ip?: string;

  /**
   * The model the call is for. A key restricted by model is refused without it.
   * @example "gpt-4o-mini"
   */
  @ApiPropertyOptional({ minLength: 1, maxLength: 128 })
  model?: string;

  /**
   * The chatbot the call is for. A key restricted by chatbot is refused without it.
   * @example "support-bot"
   */
  @ApiPropertyOptional({ minLength: 1, maxLength: 128 })
  chatbot?: string;

  /**
   * Scopes the call needs, all of them.
   * @example ["chat:write"]
   */
  @ApiPropertyOptional({ maxItems: 100 })
  scopes?: string[];

  /**
   * How many requests of the rate limits the call counts as, 1 to 1000.
   * @example 1
   */
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 1000, default: 1 })
  cost?: number;

  /**
   * Cents of the budget to hold for this call until it is reported: an upper bound of its cost, at most six decimals.
   * @example 1.5
   */
  @ApiPropertyOptional({ minimum: 0, maximum: 1_000_000_000 })
  reserveCents?: number;

  /**
   * How long the reservation holds, in seconds, 1 to 1800. What is reported later is charged as late.
   * @example 60
   */
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 1800, default: 60 })
  reservationTtlSeconds?: number;

  /** Decide, but consume nothing. */
  @ApiPropertyOptional({ default: false })
  dryRun?: boolean;

  /** List every check with its outcome. */
  @ApiPropertyOptional({ default: false })
  explain?: boolean;
}

/** Several questions at once. */
@BodySchema({
  type: 'object',
  additionalProperties: false,
  required: ['items'],
  properties: { items: { type: 'array', minItems: 1, maxItems: 100, items: QUESTION_SCHEMA } },
})
export class VerifyBatchDto {
  /** 1 to 100 questions, each decided by itself. */
  @ApiProperty({ type: () => [VerifyDto], minItems: 1, maxItems: 100 })
  items: VerifyDto[];
}
