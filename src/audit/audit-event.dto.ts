import { FLAG, INSTANT, oneOf } from '../../packages/contract/src/grammar.js';
import { Field, optional } from '../common/field.js';
import { AsFlag } from '../common/page-query.dto.js';
import { isCursor } from './cursor.js';

const text = (pattern: string, sentence: string) => ({ type: 'string', pattern, sentence }) as const;

const CURSOR = {
  type: 'string',
  check: (cursor: string) => (isCursor(cursor) ? null : 'must be the nextCursor of another page'),
} as const;

/** Which events of the trail; conditions are combined by AND. */
export class AuditFilterDto {
  /**
   * Id of the user or key that acted.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(text('^[0-9a-zA-Z-]{1,64}$', 'must be an id')))
  actorId?: string;

  /**
   * `resource:verb`.
   * @example "api-keys:revoke"
   */
  @Field(optional(text('^[a-z0-9:-]{1,100}$', 'must be an action such as api-keys:revoke')))
  action?: string;

  /** @example "api-key" */
  @Field(optional(text('^[a-z0-9-]{1,64}$', 'must be a type such as api-key')))
  resourceType?: string;

  /**
   * Id or name of what was acted on.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(text('^[0-9A-Za-z._-]{1,100}$', 'must be an id or a name')))
  resourceId?: string;

  /**
   * Whether it was done or refused.
   * @example "refused"
   */
  @Field(optional(oneOf(['success', 'refused'])))
  outcome?: 'success' | 'refused';

  /**
   * `false`: changes and refusals, without what was read, explained, exported or verified; `true`: that alone. A read
   * that was refused is a refusal.
   * @example false
   */
  @AsFlag()
  @Field(optional(FLAG))
  isRead?: boolean;

  /**
   * From this instant on.
   * @example "2026-01-01T00:00:00Z"
   */
  @Field(optional(INSTANT))
  from?: string;

  /**
   * Before this instant.
   * @example "2027-01-01T00:00:00Z"
   */
  @Field(optional(INSTANT))
  to?: string;
}

/** A page of events of the trail. */
export class ListAuditEventsDto extends AuditFilterDto {
  /**
   * `nextCursor` of the page before; absent: the newest events.
   * @example "MTIzNA"
   */
  @Field(optional(CURSOR))
  cursor?: string;

  /**
   * Events of a page, 1 to 200; absent: 50.
   * @example "50"
   */
  @Field(optional(text('^(?:[1-9]\\d?|1\\d\\d|200)$', 'must be a whole number from 1 to 200')))
  limit?: string;
}

/** From where on the trail is streamed. */
export class StreamAuditEventsDto {
  /**
   * `seq` of the last event that the caller has; absent: from the first event that is there.
   * @example "25"
   */
  @Field(optional(text('^(?:0|[1-9]\\d{0,18})$', 'must be the seq of an event')))
  after?: string;

  /**
   * Which chain: `changes` has changes and refusals. Each counts by itself. Absent: `changes`.
   * @example "changes"
   */
  @Field(optional(oneOf(['changes', 'reads'])))
  chain?: 'changes' | 'reads';
}
