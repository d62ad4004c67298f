import { API_KEY_FIELDS as FIELDS } from '../../packages/contract/src/api-key-fields.js';
import { FLAG, UUID } from '../../packages/contract/src/grammar.js';
import { Field, optional } from '../common/field.js';
import type { BudgetRaise, BudgetType, Environment, VerifiesEnvironment } from './api-key.entity.js';

/** The fields that both create and update take. What they may be, and what they mean, is said by the table. */
export class ApiKeyFieldsDto {
  @Field(FIELDS.name)
  name?: string;

  @Field(FIELDS.description)
  description?: string | null;

  @Field(FIELDS.alias)
  alias?: string | null;

  @Field(FIELDS.verifiesEnvironment)
  verifiesEnvironment?: VerifiesEnvironment;

  @Field(FIELDS.scopes)
  scopes?: string[];

  @Field(FIELDS.roles)
  roles?: string[];

  @Field(FIELDS.rateLimitPerMinute)
  rateLimitPerMinute?: number | null;

  @Field(FIELDS.rateLimitPerHour)
  rateLimitPerHour?: number | null;

  @Field(FIELDS.rateLimitPerDay)
  rateLimitPerDay?: number | null;

  @Field(FIELDS.allowedIps)
  allowedIps?: string[];

  @Field(FIELDS.allowedModels)
  allowedModels?: string[];

  @Field(FIELDS.allowedChatbots)
  allowedChatbots?: string[];

  @Field(FIELDS.isUnlimited)
  isUnlimited?: boolean;

  @Field(FIELDS.budgetLimitCents)
  budgetLimitCents?: number | null;

  @Field(FIELDS.budgetType)
  budgetType?: BudgetType;

  @Field(FIELDS.defaultReserveTokens)
  defaultReserveTokens?: number | null;

  @Field(FIELDS.tags)
  tags?: string[];

  @Field(FIELDS.metadata)
  metadata?: Record<string, string>;

  @Field(FIELDS.expiresAt)
  expiresAt?: string | null;

  @Field(FIELDS.validityDays)
  validityDays?: number | null;
}

/** A new key. Every field has a default, so an absent body makes a key as well. */
export class CreateApiKeyDto extends ApiKeyFieldsDto {
  @Field(FIELDS.environment)
  environment?: Environment;

  /**
   * Whose key it is; another than yourself needs `platform:api-keys:assign`. Absent: you.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  ownerId?: string;

  /**
   * `true`: the key is made without a secret, and its owner draws the first one within 24 hours
   * (`POST /api-keys/{id}/draw`). For a key of your own it changes nothing: the answer has the secret.
   * @example false
   */
  @Field(optional(FLAG))
  handOver?: boolean;

  /**
   * The project that the key is in; needs `platform:api-keys:assign`. Absent: none. A transfer changes it.
   * @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  projectId?: string;
}

/** A change: absent fields stay as they are. */
export class UpdateApiKeyDto extends ApiKeyFieldsDto {
  @Field(FIELDS.budgetRaise)
  budgetRaise?: BudgetRaise | null;

  /**
   * Activates or deactivates the key, with all rules of those routes.
   * @example true
   */
  @Field(optional(FLAG))
  isActive?: boolean;
}
