import { isInstant } from '../../common/instant.js';
import { IsBoolean, IsIn, IsInt, IsNumber, Max, MaxLength, Min } from 'class-validator';
import { BooleanText, DecimalText, ListText, WholeNumberText } from '../../common/query-text.js';
import { looksLikeSecret } from '../../common/secret-shape.js';
import { isTextOf } from '../../common/text.js';
import { IfPresent, IsId, IsSet, Satisfies } from '../../common/validators.js';
import { IsScopes, IsTags } from '../api-key.dto.js';
import type { Environment } from '../api-key.entity.js';
import { KEY_SORTS, type KeySort } from './key-sort.js';
import { API_KEY_STATUSES, type ApiKeyStatus } from '../status.js';

/** A line break would match from one field into the next. */
const isSearchTerm = (value: unknown) => isTextOf(value, 100) && !value.includes('\n') && [...value].length >= 3;

/** A secret in a URL ends in logs and histories: refused wherever free text is taken. */
const isNoSecret = (value: unknown) => typeof value !== 'string' || !looksLikeSecret(value);

const NO_SECRET = 'must not be a secret: search by the key prefix, and revoke a secret that was pasted somewhere';

/** What every list of keys can be narrowed by. All that is given must hold. */
export class ApiKeyFilterDto {
  /**
   * Keys with these ids, at most 100; repeat it for several. Ids of deleted keys are left out.
   * @example ["019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e00"]
   */
  @IfPresent()
  @ListText()
  @IsSet(100)
  @IsId({ each: true })
  id?: string[];

  /**
   * Keys of this owner.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  @IfPresent()
  @IsId()
  ownerId?: string;

  /**
   * Keys in this state, as the key's `status` shows it.
   * @example "active"
   */
  @IfPresent()
  @IsIn(API_KEY_STATUSES)
  status?: ApiKeyStatus;

  /**
   * Keys that are switched on, or off, whether or not they are expired or revoked.
   * @example true
   */
  @IfPresent()
  @BooleanText()
  @IsBoolean({ message: 'must be true or false' })
  isActive?: boolean;

  /**
   * Keys of this environment.
   * @example "live"
   */
  @IfPresent()
  @IsIn(['live', 'test'])
  environment?: Environment;

  /**
   * Keys with this tag; repeat it for keys that have all of them.
   * @example ["team:billing"]
   */
  @IfPresent()
  @ListText()
  @IsTags()
  tag?: string[];

  /**
   * Keys with this scope; repeat it for keys that have all of them.
   * @example ["chat:write"]
   */
  @IfPresent()
  @ListText()
  @IsScopes()
  @Satisfies('no-secret', isNoSecret, NO_SECRET, { each: true })
  scope?: string[];

  /**
   * Keys that have this text in name, description, alias or key prefix; 3 to 100 characters, upper and lower case the
   * same, `%` and `_` themselves. Earlier key prefixes of a key are found as well. Never a whole secret: that is refused.
   * @example "billing"
   */
  @IfPresent()
  @Satisfies('search', isSearchTerm, 'must be 3 to 100 characters without line breaks')
  @Satisfies('no-secret', isNoSecret, NO_SECRET)
  search?: string;

  /**
   * Keys that end before this instant, those that have ended included.
   * @example "2027-01-01T00:00:00Z"
   */
  @IfPresent()
  @Satisfies('instant', isInstant, 'must be an instant in UTC such as 2027-12-31T23:59:59Z')
  @MaxLength(32)
  expiresBefore?: string;

  /**
   * Keys that exist since before this instant and have not been used from then on, or never.
   * @example "2026-09-01T00:00:00Z"
   */
  @IfPresent()
  @Satisfies('instant', isInstant, 'must be an instant in UTC such as 2027-12-31T23:59:59Z')
  @MaxLength(32)
  unusedSince?: string;

  /**
   * Keys that have never been used, or have.
   * @example true
   */
  @IfPresent()
  @BooleanText()
  @IsBoolean({ message: 'must be true or false' })
  neverUsed?: boolean;

  /**
   * Keys that end some day, or never.
   * @example false
   */
  @IfPresent()
  @BooleanText()
  @IsBoolean({ message: 'must be true or false' })
  hasExpiry?: boolean;

  /**
   * Keys that have spent more than this percentage of their budget; 0 to 100. Keys without a budget are left out.
   * @example 80
   */
  @IfPresent()
  @DecimalText(2)
  @IsNumber({}, { message: 'must be a number from 0 to 100 with at most 2 decimals' })
  @Min(0)
  @Max(100)
  budgetUsedAbove?: number;
}

/** Which keys to count by group, and which groups to tell. */
export class ApiKeyFacetsDto extends ApiKeyFilterDto {
  /**
   * Only owners whose name contains this text, and only tags and scopes that contain it; 1 to 100 characters, upper and
   * lower case the same. Absent: the largest groups.
   * @example "billing"
   */
  @IfPresent()
  @Satisfies('matching', (value) => isTextOf(value, 100) && value !== '', 'must be 1 to 100 characters')
  @Satisfies('no-secret', isNoSecret, NO_SECRET)
  matching?: string;
}

/** Which keys to export, and in which order. */
export class ExportApiKeysDto extends ApiKeyFilterDto {
  /**
   * Order of the list: a field, with `-` in front from the highest down. Keys that are equal in it are ordered by id.
   * By name, upper and lower case are the same; keys that never end come after all others, keys never used before.
   * Absent: `-createdAt`.
   * @example "-createdAt"
   */
  @IfPresent()
  @IsIn(KEY_SORTS)
  sort?: KeySort;
}

/** One page of a list of keys. */
export class ListApiKeysDto extends ExportApiKeysDto {
  /**
   * The page, from 1. `page` times `size` is at most 10 000: narrow the list instead of paging further.
   * @example 1
   */
  @IfPresent()
  @WholeNumberText()
  @IsInt({ message: 'must be a whole number' })
  @Min(1)
  @Max(10_000)
  page?: number;

  /**
   * Keys on a page, 1 to 100. Absent: 10.
   * @example 10
   */
  @IfPresent()
  @WholeNumberText()
  @IsInt({ message: 'must be a whole number' })
  @Min(1)
  @Max(100)
  size?: number;
}
