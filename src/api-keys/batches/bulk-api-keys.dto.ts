import { ArrayMaxSize, ArrayMinSize, ArrayUnique, IsArray, IsBoolean, IsIn, MaxLength } from 'class-validator';
import { isInstant } from '../../common/instant.js';
import { IfPresent, Satisfies } from '../../common/validators.js';
import { IsTags, isDescription } from '../api-key.dto.js';

/** What can be done to many keys at once. */
export const BULK_ACTIONS = ['activate', 'deactivate', 'renew', 'revoke', 'tag'] as const;

/** One of them. */
export type BulkAction = (typeof BULK_ACTIONS)[number];

const isIdText = (value: unknown) => typeof value === 'string' && value.length <= 100;

/** One act on many keys. */
export class BulkApiKeysDto {
  /**
   * The keys, 1 to 500, each once; one that is no UUID is refused by itself.
   * @example ["019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"]
   */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(500)
  // An entry that is no UUID is decided by itself, as an entry that is no key of the caller's is.
  @Satisfies('id', isIdText, 'must be text of at most 100 characters', { each: true, schema: { format: 'uuid' } })
  @ArrayUnique((id: unknown) => (typeof id === 'string' ? id.toLowerCase() : id), {
    message: 'must not name an entry twice',
  })
  ids: string[];

  /**
   * What to do to each of them, with all rules of the single route. `tag` adds and removes tags.
   * @example "deactivate"
   */
  @IsIn(BULK_ACTIONS)
  action: BulkAction;

  /**
   * With `renew`: when they are to end, with `platform:api-keys:update`; absent: each its own `validityDays` from now.
   * @example "2027-12-31T23:59:59Z"
   */
  @IfPresent()
  @MaxLength(32)
  @Satisfies('instant', isInstant, 'must be an instant in UTC such as 2027-12-31T23:59:59Z')
  expiresAt?: string;

  /**
   * With `revoke`: why; at most 500 characters.
   * @example "Contract ended"
   */
  @IfPresent()
  @Satisfies('reason', isDescription, 'must be at most 500 characters')
  reason?: string;

  /**
   * With `tag`: tags that the keys are to have.
   * @example ["team:billing"]
   */
  @IfPresent()
  @IsTags()
  add?: string[];

  /**
   * With `tag`: tags that the keys are not to have.
   * @example ["team:sales"]
   */
  @IfPresent()
  @IsTags()
  remove?: string[];

  /**
   * Only say what would come of it: the same checks, and nothing changes.
   * @example true
   */
  @IfPresent()
  @IsBoolean()
  dryRun?: boolean;
}
