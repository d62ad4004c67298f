import { ApiHideProperty, OmitType } from '@nestjs/swagger';
import { FLAG, SUBJECT, UUID, decimalsProblem, oneOf, setOf } from '../../packages/contract/src/grammar.js';
import { LIMIT_TARGETS, LIMIT_UNITS, type LimitUnit } from '../../packages/contract/src/limit.js';
import type { Schema } from '../../packages/contract/src/schema.js';
import { Field, optional } from '../common/field.js';
import { PageQueryDto } from '../common/page-query.dto.js';
import { BooleanText, DecimalText, ListText } from '../common/query-text.js';

/** More than any amount that is worth asking about: an account may be overdrawn by late reports. */
const MAX_PERCENT = 10_000;

const PERCENT = {
  type: 'number',
  minimum: 0,
  maximum: MAX_PERCENT,
  check: (percent: number) => decimalsProblem(percent, 2),
} as const satisfies Schema;

const UUID_TEXT = UUID.pattern.slice(1, -1);
const TARGET_SENTENCE =
  'must be installation, or a kind and an id such as project:019a8b5e-0004-7cb7-98e5-7eb06351d299';
const TARGET_TEXT = {
  type: 'string',
  maxLength: 64,
  pattern: `^(installation|(${LIMIT_TARGETS.filter((kind) => kind !== 'installation').join('|')}):${UUID_TEXT})$`,
  sentence: TARGET_SENTENCE,
} as const satisfies Schema;

/** Orders of the list of limits. */
export const LIMIT_SORTS = ['name', '-name', 'createdAt', '-createdAt'] as const;
export type LimitSort = (typeof LIMIT_SORTS)[number];

/** Orders of the list of accounts: by the share of the amount that is used, or by member. */
export const ACCOUNT_SORTS = ['-used', 'member'] as const;
export type AccountSort = (typeof ACCOUNT_SORTS)[number];

/** Which limits. All that is given must hold. */
export class LimitsQueryDto extends PageQueryDto {
  /**
   * Limits with these ids, at most 100; repeat it for several. Ids of deleted limits are left out.
   * @example ["019a8b5e-0006-7ed9-ba07-90d28573f4bb"]
   */
  @ListText()
  @Field(optional(setOf(100, UUID)))
  id?: string[];

  /**
   * Limits on this target: `installation`, or a kind and an id.
   * @example "project:019a8b5e-0004-7cb7-98e5-7eb06351d299"
   */
  @Field(optional(TARGET_TEXT))
  target?: string;

  /**
   * Limits that bind the calls of this key, those of some models only included.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  binds?: string;

  /** Limits of this unit. */
  @Field(optional(oneOf(LIMIT_UNITS)))
  unit?: LimitUnit;

  /**
   * Limits with an account of which more than so many percent are used in the running period.
   * @example 80
   */
  @DecimalText()
  @Field(optional(PERCENT))
  usedAbove?: number;

  /** Absent: `name`. */
  @Field(optional(oneOf(LIMIT_SORTS)))
  sort?: LimitSort;
}

/** Which accounts of a limit. */
export class LimitAccountsQueryDto extends PageQueryDto {
  /**
   * The account of this key, owner or subject.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(SUBJECT))
  member?: string;

  /**
   * Accounts of which more than so many percent are used in the running period.
   * @example 80
   */
  @DecimalText()
  @Field(optional(PERCENT))
  usedAbove?: number;

  /** Absent: `-used`, the fullest first. */
  @Field(optional(oneOf(ACCOUNT_SORTS)))
  sort?: AccountSort;
}

const PAGING = ['page', 'size', 'cursor'] as const;

/** Which limits to export, and in which order. */
export class ExportLimitsDto extends OmitType(LimitsQueryDto, PAGING) {}

/** Which accounts of a limit to export, and in which order. */
export class ExportLimitAccountsDto extends OmitType(LimitAccountsQueryDto, PAGING) {}

/** Whether a change is made, or only what it would come to is told. */
export class DryRunQueryDto {
  /** Changes nothing, and tells how many keys, owners and accounts the limit binds. */
  @BooleanText()
  @Field(optional(FLAG))
  dryRun?: boolean;

  // Read by `WaitsForReplicas`, which documents it as well; named here because unknown parameters are refused.
  @ApiHideProperty()
  @Field(optional(oneOf(['true', 'false'])))
  wait?: 'true' | 'false';
}

/** How the limit of an alias is changed. */
export class PutLimitQueryDto {
  /**
   * Whether a limit with another target, `each`, `unit`, `per` or `timeZone` may take the place of the one that the
   * alias has: that one ends, and the sum starts from 0.
   */
  @BooleanText()
  @Field(optional(FLAG))
  restart?: boolean;

  // As above.
  @ApiHideProperty()
  @Field(optional(oneOf(['true', 'false'])))
  wait?: 'true' | 'false';
}
