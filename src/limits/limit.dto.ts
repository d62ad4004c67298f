import { OmitType } from '@nestjs/swagger';
import { ALIAS, CENTS, INSTANT, MODEL, NAME, UUID, oneOf, setOf, textOf } from '../../packages/contract/src/grammar.js';
import {
  LIMIT_MEMBERS,
  LIMIT_MODES,
  LIMIT_PERIODS,
  LIMIT_AMOUNTS,
  LIMIT_TARGETS,
  type LimitMember,
  type LimitMode,
  type LimitPeriod,
  type LimitTargetKind,
  type LimitUnit,
} from '../../packages/contract/src/limit.js';
import type { Schema } from '../../packages/contract/src/schema.js';
import { Field, clearable, optional, required } from '../common/field.js';
import { ENFORCED_UNITS } from '../quotas/limits/enforced-units.js';

/** Which zones there are is known to PostgreSQL alone. */
const ZONE = { type: 'string', minLength: 1, maxLength: 64 } as const satisfies Schema;
/** Models that one limit names at most. */
const MODELS = setOf(50, MODEL);
const DESCRIPTION = textOf(500);
/** Whatever is counted; each unit has bounds of its own inside these. */
const AMOUNT = { type: 'integer', minimum: 0, maximum: LIMIT_AMOUNTS.tokens.maximum } as const satisfies Schema;

const TARGET = {
  type: 'object',
  properties: { kind: oneOf(LIMIT_TARGETS), id: UUID },
  required: ['kind'],
  additionalProperties: false,
} as const satisfies Schema;

/** Whose calls a limit counts. */
export interface LimitTargetDto {
  readonly kind: LimitTargetKind;
  readonly id?: string;
}

/** A new limit. */
export class CreateLimitDto {
  /**
   * What people call the limit; 1 to 100 characters, trimmed.
   * @example "Search team, monthly"
   */
  @Field(required(NAME))
  name: string;

  /**
   * What tools call the limit; no two limits have one alias.
   * @example "search-monthly"
   */
  @Field(clearable(ALIAS))
  alias?: string | null;

  /**
   * What the limit is for; at most 500 characters.
   * @example "Agreed with finance for 2027"
   */
  @Field(optional(DESCRIPTION))
  description?: string;

  /**
   * What is counted: cents of reported cost, tokens (input and output), `requests` (calls that were let in) or `slots`
   * (calls in flight). Absent: `cents`.
   */
  @Field(optional(oneOf(ENFORCED_UNITS)))
  unit?: LimitUnit;

  /**
   * The most that may be spent in a period, in cents with at most 6 decimals. 0 refuses every call. Needed with the
   * unit `cents`, and only there.
   * @example 50000
   */
  @Field(optional(CENTS))
  amountCents?: number;

  /**
   * The most that there may be of any other unit, as a whole number: in a period, or in flight. Tokens and requests
   * from 0, which refuses every call, to 10^12, by minute and hour to 10^9; slots from 1 to 10^6.
   * @example 1000000
   */
  @Field(optional(AMOUNT))
  amount?: number;

  /**
   * The calendar period after which it counts from 0 again; weeks begin on Monday. `total`: never. `minute`, of
   * `requests` and `tokens`, and `hour`, of `requests`: what was used longer ago does not count. Needed, but with
   * `slots`, which have none: absent or null.
   */
  @Field(clearable(oneOf(LIMIT_PERIODS)))
  per?: LimitPeriod | null;

  /**
   * Whose calendar the periods follow, by its name in the IANA database. Absent: UTC. Not with `minute`,
   * `hour`, `total` or `slots`.
   * @example "Europe/Berlin"
   */
  @Field(optional(ZONE))
  timeZone?: string;

  /**
   * Whose calls count: those of a key, of all keys of an owner, of all keys in a project, or of all keys.
   * `installation` has no `id`.
   * @example { "kind": "project", "id": "019a8b5e-0004-7cb7-98e5-7eb06351d299" }
   */
  @Field(required(TARGET))
  target: LimitTargetDto;

  /**
   * Each key, each owner, or each `subject` that calls name, has an account of its own with the whole amount. Absent or
   * null: all calls of the target share one.
   */
  @Field(clearable(oneOf(LIMIT_MEMBERS)))
  each?: LimitMember | null;

  /**
   * Calls of these models count, by name or pattern with `*`, and calls that name no model. Absent or empty: every
   * call.
   * @example ["gpt-4*"]
   */
  @Field(optional(MODELS))
  models?: string[];

  /** `observe`: counts in the same way and refuses nothing. Absent: `enforce`. */
  @Field(optional(oneOf(LIMIT_MODES)))
  mode?: LimitMode;
}

/** A change of a limit: fields that are absent stay. */
export class UpdateLimitDto {
  /**
   * What people call the limit; 1 to 100 characters, trimmed.
   * @example "Search team, monthly"
   */
  @Field(optional(NAME))
  name?: string;

  /**
   * What tools call the limit; null takes it away.
   * @example "search-monthly"
   */
  @Field(clearable(ALIAS))
  alias?: string | null;

  /**
   * What the limit is for; at most 500 characters.
   * @example "Agreed with finance for 2027"
   */
  @Field(optional(DESCRIPTION))
  description?: string;

  /** Cannot be changed: it must be what the limit has. */
  @Field(optional(oneOf(ENFORCED_UNITS)))
  unit?: LimitUnit;

  /**
   * The most that may be spent in a period, of a limit of cents. An amount below what is spent already refuses every
   * call until the period ends; what was reserved before may still be spent.
   * @example 60000
   */
  @Field(optional(CENTS))
  amountCents?: number;

  /**
   * The most that there may be, of a limit of another unit. Calls that are in flight already end as they would.
   * @example 2000000
   */
  @Field(optional(AMOUNT))
  amount?: number;

  /** Cannot be changed: it must be what the limit has. */
  @Field(clearable(oneOf(LIMIT_PERIODS)))
  per?: LimitPeriod | null;

  /**
   * Cannot be changed: it must be what the limit has.
   * @example "Europe/Berlin"
   */
  @Field(optional(ZONE))
  timeZone?: string;

  /** Cannot be changed: it must be what the limit has. */
  @Field(optional(TARGET))
  target?: LimitTargetDto;

  /** Cannot be changed: it must be what the limit has. */
  @Field(clearable(oneOf(LIMIT_MEMBERS)))
  each?: LimitMember | null;

  /**
   * Calls of these models count from now on. What was counted stays.
   * @example ["gpt-4*"]
   */
  @Field(optional(MODELS))
  models?: string[];

  /** `observe` stops refusing at once, `enforce` begins with what was counted meanwhile. */
  @Field(optional(oneOf(LIMIT_MODES)))
  mode?: LimitMode;
}

/** The limit that an alias is to have; fields that are absent have their defaults. */
export class PutLimitDto extends OmitType(CreateLimitDto, ['alias'] as const) {
  /**
   * The alias of the path, or absent.
   * @example "search-monthly"
   */
  @Field(optional(ALIAS))
  alias?: string;
}

/** An amount of its own for one member of a limit with `each`. */
export class OverrideDto {
  /**
   * The most that this member may spend in a period, in cents. Needed for a limit of cents, and only there.
   * @example 20000
   */
  @Field(optional(CENTS))
  amountCents?: number;

  /**
   * The most that there may be for this member, of a limit of another unit.
   * @example 200
   */
  @Field(optional(AMOUNT))
  amount?: number;

  /**
   * When it ends by itself; the limit's amount is in force again then. Absent or null: it does not end.
   * @example "2027-01-31T23:59:59Z"
   */
  @Field(clearable(INSTANT))
  until?: string | null;

  /**
   * The reason, for those who read it later; at most 500 characters.
   * @example "Load test until Friday"
   */
  @Field(optional(DESCRIPTION))
  reason?: string;
}
