import { CURSOR } from '../../common/page-query.dto.js';
import { API_KEY_FIELDS } from '../../../packages/contract/src/api-key-fields.js';
import {
  FLAG,
  INSTANT,
  SCOPE,
  UUID,
  decimalsProblem,
  oneOf,
  setOf,
  whole,
} from '../../../packages/contract/src/grammar.js';
import type { Schema } from '../../../packages/contract/src/schema.js';
import { Field, optional } from '../../common/field.js';
import { BooleanText, DecimalText, ListText, WholeNumberText } from '../../common/query-text.js';
import { looksLikeSecret } from '../../common/secret-shape.js';
import type { Environment } from '../api-key.entity.js';
import { KEY_SORTS, type KeySort } from './key-sort.js';
import { isSearchable } from './search-text.js';
import { API_KEY_STATUSES, type ApiKeyStatus } from '../status.js';

/** A secret in a URL ends in logs and histories: refused wherever free text is taken. */
const secretProblem = (text: string) =>
  looksLikeSecret(text)
    ? 'must not be a secret: search by the key prefix, and revoke a secret that was pasted somewhere'
    : null;

const SEARCH_SENTENCE =
  'must be 3 to 100 characters without line breaks (2 in scripts without spaces, such as Chinese or Thai)';

/** A line break would match from one field into the next. */
const SEARCH = {
  type: 'string',
  maxLength: 100,
  pattern: '^[^\\n\\u0000\\ud800-\\udfff]*$',
  sentence: SEARCH_SENTENCE,
  check: (text: string) => (isSearchable(text) ? secretProblem(text) : SEARCH_SENTENCE),
} as const satisfies Schema;

const MATCHING = { type: 'string', minLength: 1, maxLength: 100, check: secretProblem } as const satisfies Schema;

const PERCENTAGE = {
  type: 'number',
  minimum: 0,
  maximum: 100,
  check: (percentage: number) => decimalsProblem(percentage, 2),
} as const satisfies Schema;

const SCOPES = setOf(100, { ...SCOPE, check: secretProblem });

/** What every list of keys can be narrowed by. All that is given must hold. */
export class ApiKeyFilterDto {
  /**
   * Keys with these ids, at most 100; repeat it for several. Ids of deleted keys are left out.
   * @example ["019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e00"]
   */
  @ListText()
  @Field(optional(setOf(100, UUID)))
  id?: string[];

  /**
   * Keys of this owner.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  ownerId?: string;

  /**
   * Keys in this project.
   * @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  projectId?: string;

  /**
   * Keys in this state, as the key's `status` shows it.
   * @example "active"
   */
  @Field(optional(oneOf(API_KEY_STATUSES)))
  status?: ApiKeyStatus;

  /**
   * `isActive` of the key; `false`: also keys that are expired or revoked as well.
   * @example true
   */
  @BooleanText()
  @Field(optional(FLAG))
  isActive?: boolean;

  /**
   * Keys of this environment.
   * @example "live"
   */
  @Field(optional(API_KEY_FIELDS.environment.schema))
  environment?: Environment;

  /**
   * Keys with this tag; repeat it for keys that have all of them.
   * @example ["team:billing"]
   */
  @ListText()
  @Field(optional(API_KEY_FIELDS.tags.schema))
  tag?: string[];

  /**
   * Keys with this scope; repeat it for keys that have all of them.
   * @example ["chat:write"]
   */
  @ListText()
  @Field(optional(SCOPES))
  scope?: string[];

  /**
   * Keys that have this text in name, description, alias or key prefix; 3 to 100 characters, or 2 of a script that
   * writes no spaces, such as Chinese, Japanese or Thai. Upper and lower case are the same, and so are composed and
   * decomposed characters of Unicode; `%` and `_` are themselves. Earlier key prefixes of a key are found as well.
   * Never a whole secret: that is refused.
   * @example "billing"
   */
  @Field(optional(SEARCH))
  search?: string;

  /**
   * Keys that end before this instant, those that have ended included.
   * @example "2027-01-01T00:00:00Z"
   */
  @Field(optional(INSTANT))
  expiresBefore?: string;

  /**
   * Keys that exist since before this instant and have not been used from then on, or never.
   * @example "2026-09-01T00:00:00Z"
   */
  @Field(optional(INSTANT))
  unusedSince?: string;

  /**
   * Keys that have never been used, or have.
   * @example true
   */
  @BooleanText()
  @Field(optional(FLAG))
  neverUsed?: boolean;

  /**
   * Keys that end some day, or never.
   * @example false
   */
  @BooleanText()
  @Field(optional(FLAG))
  hasExpiry?: boolean;

  /**
   * Keys that have spent more than this percentage of their budget; 0 to 100. Keys without a budget are left out.
   * @example 80
   */
  @DecimalText()
  @Field(optional(PERCENTAGE))
  budgetUsedAbove?: number;

  /**
   * Keys whose next secret is offered to their owner, who has not drawn it yet; or all others.
   * @example true
   */
  @BooleanText()
  @Field(optional(FLAG))
  handOver?: boolean;
}

/** Which keys to count by group, and which groups to tell. */
export class ApiKeyFacetsDto extends ApiKeyFilterDto {
  /**
   * Only owners whose name contains this text, and only tags and scopes that contain it; 1 to 100 characters, upper and
   * lower case the same. Absent: the largest groups.
   * @example "billing"
   */
  @Field(optional(MATCHING))
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
  @Field(optional(oneOf(KEY_SORTS)))
  sort?: KeySort;
}

/** One page of a list of keys. */
export class ListApiKeysDto extends ExportApiKeysDto {
  /**
   * The page, from 1. `page` times `size` is at most 10 000: go on by `cursor` instead. Absent: 1.
   * @example 1
   */
  @WholeNumberText()
  @Field(optional(whole(1, 10_000)))
  page?: number;

  /**
   * Keys on a page, 1 to 100. Absent: 10.
   * @example 10
   */
  @WholeNumberText()
  @Field(optional(whole(1, 100)))
  size?: number;

  /**
   * `meta.nextCursor` of the page before, instead of `page`: no key is given twice or missed, whatever is added or
   * deleted meanwhile; one whose place in the order changes may be. Filters and order must be those of the page before.
   */
  @Field(optional(CURSOR))
  cursor?: string;
}
