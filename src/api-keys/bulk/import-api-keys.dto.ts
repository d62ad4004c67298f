import { ApiProperty, OmitType } from '@nestjs/swagger';
import { AMOUNT, FLAG, INSTANT } from '../../../packages/contract/src/grammar.js';
import type { Schema } from '../../../packages/contract/src/schema.js';
import { Field, optional, required } from '../../common/field.js';
import { TakesSecretsIn } from '../../common/secret-members.js';
import { CreateApiKeyDto } from '../api-key.dto.js';

/** What is shown of a secret of another system. */
const PREFIX = {
  type: 'string',
  pattern: '^[\\x21-\\x7e]{1,32}$',
  sentence: 'must be 1 to 32 visible ASCII characters',
} as const satisfies Schema;

/** A key of another system: what its clients present is known by its hash alone. */
export class ImportApiKeyDto extends OmitType(CreateApiKeyDto, ['handOver'] as const) {
  /**
   * SHA-256 of the whole string that clients present, in UTF-8: 64 hexadecimal digits, base64 or base64url. Whatever
   * can
   * be presented can be imported: 1 to 512 characters that do not start like secrets made here. Salted and slow hashes
   * (bcrypt, argon2) cannot be imported: no key can be found by one.
   * @example "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
   */
  @Field(required({ type: 'string', maxLength: 512 }))
  sha256: string;

  /**
   * Public start of the string, shown and searched as the key's prefix: 1 to 32 visible ASCII characters, enough to
   * tell
   * it from secrets made here.
   * @example "sk-proj-8Fk2"
   */
  @Field(required(PREFIX))
  prefix: string;

  /**
   * What the key has spent so far, in cents: with a monthly budget in this UTC month, else in total. It counts against
   * the
   * budget and is no usage: reports do not show it.
   * @example 120.5
   */
  @Field(optional(AMOUNT))
  spentCents?: number;

  /**
   * `false`: the key comes inactive, and does not count against its owner's cap.
   * @example true
   */
  @Field(optional(FLAG))
  isActive?: boolean;

  /**
   * When the other system made the key; absent: now.
   * @example "2024-02-29T08:00:00Z"
   */
  @Field(optional(INSTANT))
  createdAt?: string;

  /**
   * When the key was last used there.
   * @example "2026-10-31T23:59:59Z"
   */
  @Field(optional(INSTANT))
  lastUsedAt?: string;
}

/** Keys of another system, to go on working here with the secrets their clients have. */
// Each of the keys is judged by itself, in this as well.
@TakesSecretsIn('keys')
export class ImportApiKeysDto {
  /** 1 to 500 keys, each judged by itself. */
  @Field(required({ type: 'array', minItems: 1, maxItems: 500 }))
  @ApiProperty({ type: () => [ImportApiKeyDto] })
  keys: unknown[];

  /**
   * Raises `maxActiveKeys` of owners who lack room for the imported keys, to what they then have. Needs
   * `platform:users:update`, and that you hold all the owner may do.
   * @example false
   */
  @Field(optional(FLAG))
  raiseOwnerLimits?: boolean;
}
