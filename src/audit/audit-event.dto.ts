import { IsBoolean, IsIn, IsString, Matches, MaxLength } from 'class-validator';
import { isInstant } from '../common/instant.js';
import { AsFlag } from '../common/page-query.dto.js';
import { IfPresent, Satisfies } from '../common/validators.js';
import { isCursor } from './cursor.js';

const isLimit = (value: unknown) => typeof value === 'string' && /^[1-9]\d{0,2}$/.test(value) && Number(value) <= 200;

/** Which events of the trail; conditions are combined by AND. */
export class AuditFilterDto {
  /**
   * Id of the user or key that acted.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @IfPresent()
  @IsString()
  @Matches(/^[0-9a-zA-Z-]{1,64}$/, { message: 'must be an id' })
  actorId?: string;

  /**
   * `resource:verb`.
   * @example "api-keys:revoke"
   */
  @IfPresent()
  @IsString()
  @Matches(/^[a-z0-9:-]{1,100}$/, { message: 'must be an action such as api-keys:revoke' })
  action?: string;

  /** @example "api-key" */
  @IfPresent()
  @IsString()
  @Matches(/^[a-z0-9-]{1,64}$/, { message: 'must be a type such as api-key' })
  resourceType?: string;

  /**
   * Id or name of what was acted on.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  @IfPresent()
  @IsString()
  @Matches(/^[0-9A-Za-z._-]{1,100}$/, { message: 'must be an id or a name' })
  resourceId?: string;

  /**
   * Whether it was done or refused.
   * @example "refused"
   */
  @IfPresent()
  @IsIn(['success', 'refused'], { message: 'must be success or refused' })
  outcome?: 'success' | 'refused';

  /**
   * `false`: changes and refusals, without what was read, explained, exported or verified; `true`: that alone. A read that
   * was refused is a refusal.
   * @example false
   */
  @IfPresent()
  @AsFlag()
  @IsBoolean({ message: 'must be true or false' })
  isRead?: boolean;

  /**
   * From this instant on.
   * @example "2026-01-01T00:00:00Z"
   */
  @IfPresent()
  @MaxLength(32)
  @Satisfies('instant', isInstant, 'must be an instant in UTC such as 2027-12-31T23:59:59Z')
  from?: string;

  /**
   * Before this instant.
   * @example "2027-01-01T00:00:00Z"
   */
  @IfPresent()
  @MaxLength(32)
  @Satisfies('instant', isInstant, 'must be an instant in UTC such as 2027-12-31T23:59:59Z')
  to?: string;
}

/** A page of events of the trail. */
export class ListAuditEventsDto extends AuditFilterDto {
  /**
   * `nextCursor` of the page before; absent: the newest events.
   * @example "MTIzNA"
   */
  @IfPresent()
  @Satisfies('cursor', isCursor, 'must be the nextCursor of another page')
  cursor?: string;

  /**
   * Events of a page, 1 to 200; absent: 50.
   * @example "50"
   */
  @IfPresent()
  @Satisfies('limit', isLimit, 'must be a whole number from 1 to 200')
  limit?: string;
}
