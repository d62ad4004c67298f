import { OmitType } from '@nestjs/swagger';
import { INSTANT, NAME, UUID, textOf, whole } from '../../../packages/contract/src/grammar.js';
import { Field, clearable, optional, required } from '../../common/field.js';
import { CreateApiKeyDto } from '../api-key.dto.js';

/** How long two secrets of a key may work beside each other: up to 7 days. */
export const OVERLAP_SECONDS = whole(0, 604_800);

/** A new secret for a key. */
export class RegenerateApiKeyDto {
  /**
   * How long the old secret goes on working beside the new one, 0 to 604 800 (7 days); absent: 0, it ends at once.
   * @example 3600
   */
  @Field(optional(OVERLAP_SECONDS))
  overlapSeconds?: number;
}

/** A new validity window. */
export class RenewApiKeyDto {
  /**
   * When the key is to end, with `platform:api-keys:update`; absent: the key's `validityDays` from now.
   * @example "2027-12-31T23:59:59Z"
   */
  @Field(optional(INSTANT))
  expiresAt?: string;
}

/** The end of a key. */
export class RevokeApiKeyDto {
  /**
   * The reason, for those who read the key or the trail later; at most 500 characters.
   * @example "Found in a public repository"
   */
  @Field(optional(textOf(500)))
  reason?: string;
}

/** Another owner, another project, or both. */
export class TransferApiKeyDto {
  /**
   * The user whose key it becomes; absent: the owner stays, and `projectId` must be given.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  ownerId?: string;

  /**
   * The project that the key is in from then on; null: none. Absent: the project stays.
   * @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(clearable(UUID))
  projectId?: string | null;
}

/** Whose alias it is. */
export class ByAliasQuery {
  /**
   * The owner of the key; another than yourself needs `platform:api-keys:assign` to create and
   * `platform:api-keys:update` to renew. Absent: you.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  ownerId?: string;
}

/**
 * The key that an alias is to have. On a renewal name and roles are replaced, other fields that are given are changed
 * as by an update, absent ones stay.
 */
export class UpsertApiKeyDto extends OmitType(CreateApiKeyDto, [
  'alias',
  'ownerId',
  'projectId',
  'name',
  'handOver',
] as const) {
  /**
   * What people call the key; 1 to 100 characters, trimmed.
   * @example "Nightly build"
   */
  @Field(required(NAME))
  name: string;
}

/** A leaked key. */
export class SelfRevokeDto {
  /**
   * The whole key, as it was found.
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  key: string;
}
