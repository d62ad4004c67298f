import { API_KEY_FIELDS } from '../../../packages/contract/src/api-key-fields.js';
import { FLAG, INSTANT, oneOf, textOf } from '../../../packages/contract/src/grammar.js';
import { SENTENCES, type Schema } from '../../../packages/contract/src/schema.js';
import { Field, optional, required } from '../../common/field.js';

/** What can be done to many keys at once. */
export const BULK_ACTIONS = ['activate', 'deactivate', 'renew', 'revoke', 'tag'] as const;

/** One of them. */
export type BulkAction = (typeof BULK_ACTIONS)[number];

/** An entry that is no UUID is decided by itself, as an entry that is no key of the caller's is. */
const KEY_IDS = {
  type: 'array',
  minItems: 1,
  maxItems: 500,
  uniqueItems: true,
  items: { type: 'string', maxLength: 100, format: 'uuid' },
  check: (ids: readonly string[]) =>
    new Set(ids.map((id) => id.toLowerCase())).size === ids.length ? null : SENTENCES.twice,
} as const satisfies Schema;

/** One act on many keys. */
export class BulkApiKeysDto {
  /**
   * The keys, 1 to 500, each once; one that is no UUID is refused by itself.
   * @example ["019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"]
   */
  @Field(required(KEY_IDS))
  ids: string[];

  /**
   * What to do to each of them, with all rules of the single route. `tag` adds and removes tags.
   * @example "deactivate"
   */
  @Field(required(oneOf(BULK_ACTIONS)))
  action: BulkAction;

  /**
   * With `renew`: when they are to end, with `platform:api-keys:update`; absent: each its own `validityDays` from now.
   * @example "2027-12-31T23:59:59Z"
   */
  @Field(optional(INSTANT))
  expiresAt?: string;

  /**
   * With `revoke`: why; at most 500 characters.
   * @example "Contract ended"
   */
  @Field(optional(textOf(500)))
  reason?: string;

  /**
   * With `tag`: tags that the keys are to have.
   * @example ["team:billing"]
   */
  @Field(optional(API_KEY_FIELDS.tags.schema))
  add?: string[];

  /**
   * With `tag`: tags that the keys are not to have.
   * @example ["team:sales"]
   */
  @Field(optional(API_KEY_FIELDS.tags.schema))
  remove?: string[];

  /**
   * Only say what would come of it: the same checks, and nothing changes.
   * @example true
   */
  @Field(optional(FLAG))
  dryRun?: boolean;
}
