import { IsBoolean, IsIn, IsInt, IsObject, Max, MaxLength, Min } from 'class-validator';
import { parseCidr } from '../common/address.js';
import { isInstant } from '../common/instant.js';
import { ALIAS } from '../common/grammars/alias.js';
import { CHATBOT } from '../common/grammars/chatbot.js';
import { MODEL } from '../common/grammars/model.js';
import { SCOPE } from '../common/grammars/scope.js';
import { TAG } from '../common/grammars/tag.js';
import { microCentsFromCents } from '../common/money.js';
import { isNameOf, isStorableText, isTextOf } from '../common/text.js';
import { IsRoleNames } from '../access/role.dto.js';
import { IfGiven, IfPresent, IsId, IsOf, IsSet, IsSetOf, Satisfies } from '../common/validators.js';
import type { BudgetType, Environment } from './api-key.entity.js';

/** A list of scopes. */
export const IsScopes = () => IsSetOf(100, SCOPE);

/** A list of tags. */
export const IsTags = () => IsSetOf(50, TAG);

const MAX_METADATA_BYTES = 4096;

const isAddressEntry = (value: unknown) => typeof value === 'string' && parseCidr(value) !== null;

const isCents = (value: unknown) => {
  if (typeof value !== 'number') return false;
  try {
    microCentsFromCents(value);
    return true;
  } catch {
    return false;
  }
};

const isMetadata = (value: unknown) =>
  typeof value === 'object' &&
  value !== null &&
  Object.entries(value).every(([name, text]) => name !== '' && isStorableText(name) && isStorableText(text)) &&
  Buffer.byteLength(JSON.stringify(value)) <= MAX_METADATA_BYTES;

/** What a key may be called. */
export const isName = (value: unknown) => isNameOf(value, 100);

/** What may be said of a key, or of a reason. */
export const isDescription = (value: unknown) => isTextOf(value, 500);

/** The fields that both create and update take. */
export class ApiKeyFieldsDto {
  /**
   * What people call the key; 1 to 100 characters, trimmed.
   * @example "Billing service"
   */
  @IfPresent()
  @Satisfies('name', isName, 'must be 1 to 100 characters that are not blank', {
    schema: { minLength: 1, pattern: '\\S' },
  })
  name?: string;

  /**
   * At most 500 characters; null clears it.
   * @example "Used by the nightly invoice run"
   */
  @IfGiven()
  @Satisfies('description', isDescription, 'must be at most 500 characters', { schema: { maxLength: 500 } })
  description?: string | null;

  /**
   * Your own name for the key, unique among the owner's keys that are not revoked; null clears it.
   * @example "billing-nightly"
   */
  @IfGiven()
  @IsOf(ALIAS)
  alias?: string | null;

  /**
   * What the key may do in your own services: RFC 6749 scope tokens, exact. Empty: nothing that needs a scope.
   * @example ["chat:write"]
   */
  @IfPresent()
  @IsScopes()
  scopes?: string[];

  /**
   * Roles the key carries; what it may do in Latchkey is what they grant within what its owner holds.
   * @example ["gateway"]
   */
  @IfPresent()
  @IsRoleNames()
  roles?: string[];

  /**
   * Requests in any 60 seconds, 1 to 10 000; null: no limit.
   * @example 60
   */
  @IfGiven()
  @IsInt()
  @Min(1)
  @Max(10_000)
  rateLimitPerMinute?: number | null;

  /**
   * Requests in any hour, 1 to 100 000; null: no limit.
   * @example 1000
   */
  @IfGiven()
  @IsInt()
  @Min(1)
  @Max(100_000)
  rateLimitPerHour?: number | null;

  /**
   * Requests in any 24 hours, 1 to 1 000 000; null: no limit.
   * @example 10000
   */
  @IfGiven()
  @IsInt()
  @Min(1)
  @Max(1_000_000)
  rateLimitPerDay?: number | null;

  /**
   * Addresses and CIDR blocks the key may be used from, IPv4 and IPv6, at most 64. Empty: any.
   * @example ["10.0.0.0/8", "2001:db8::/32"]
   */
  @IfPresent()
  @IsSet(64)
  @Satisfies('address', isAddressEntry, 'must be an address or a CIDR block without host bits', { each: true })
  allowedIps?: string[];

  /**
   * Models the key may ask for: names of 1 to 128 characters without control characters, or globs with `*`; at most
   * 256. Empty: any.
   * @example ["gpt-4o*", "claude-sonnet-5"]
   */
  @IfPresent()
  @IsSetOf(256, MODEL)
  allowedModels?: string[];

  /**
   * Chatbots the key may be used for, exact, 1 to 128 characters without control characters; at most 256. Empty: any.
   * @example ["support-bot"]
   */
  @IfPresent()
  @IsSetOf(256, CHATBOT)
  allowedChatbots?: string[];

  /**
   * No budget. Contradicts `budgetLimitCents`.
   * @example false
   */
  @IfPresent()
  @IsBoolean()
  isUnlimited?: boolean;

  /**
   * What the key may spend, in cents with at most 6 decimals, up to 10⁹; 0: every call is refused; null: unlimited.
   * @example 500
   */
  @IfGiven()
  @Satisfies('cents', isCents, 'must be a number of cents from 0 to 1000000000 with at most 6 decimals', {
    schema: { minimum: 0, maximum: 1_000_000_000 },
  })
  budgetLimitCents?: number | null;

  /**
   * Whether the budget is for ever or for each UTC month. Needs `budgetLimitCents`; absent: `total`.
   * @example "monthly"
   */
  @IfPresent()
  @IsIn(['total', 'monthly'])
  budgetType?: BudgetType;

  /**
   * For finding and grouping keys; at most 50 of `A-Z a-z 0-9 . _ : / -`.
   * @example ["team:billing"]
   */
  @IfPresent()
  @IsTags()
  tags?: string[];

  /**
   * Text by name for your own use, handed to services at verify; at most 4 KiB; replaced whole.
   * @example { "costCentre": "4711" }
   */
  @IfPresent()
  @IsObject()
  @Satisfies('metadata', isMetadata, 'must be a flat map of text by name, at most 4096 bytes as JSON')
  metadata?: Record<string, string>;

  /**
   * When the key ends; null: never.
   * @example "2027-12-31T23:59:59Z"
   */
  @IfGiven()
  @MaxLength(32)
  @Satisfies('instant', isInstant, 'must be an instant in UTC such as 2027-12-31T23:59:59Z', {
    schema: { format: 'date-time' },
  })
  expiresAt?: string | null;

  /**
   * Days that a renewal gives, 1 to 3650; null: the configured default (15).
   * @example 30
   */
  @IfGiven()
  @IsInt()
  @Min(1)
  @Max(3650)
  validityDays?: number | null;
}

/** A new key. Every field has a default, so an absent body makes a key as well. */
export class CreateApiKeyDto extends ApiKeyFieldsDto {
  /**
   * Part of the secret's prefix; cannot be changed later. Absent: `live`.
   * @example "live"
   */
  @IfPresent()
  @IsIn(['live', 'test'])
  environment?: Environment;

  /**
   * Whose key it is; another than yourself needs `platform:api-keys:assign`. Absent: you.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @IfPresent()
  @IsId()
  ownerId?: string;
}

/** A change: absent fields stay as they are. */
export class UpdateApiKeyDto extends ApiKeyFieldsDto {
  /**
   * Activates or deactivates the key, with all rules of those routes.
   * @example true
   */
  @IfPresent()
  @IsBoolean()
  isActive?: boolean;
}
