import { oneOf } from '../../../packages/contract/src/grammar.js';
import type { Schema } from '../../../packages/contract/src/schema.js';
import { Field, optional } from '../../common/field.js';
import { CURSOR } from '../../common/page-query.dto.js';
import { VERDICT_CODES } from '../checks.js';

/** Codes of a call whose key is known and that was decided. */
const REFUSAL_CODES = VERDICT_CODES.filter(
  (code) => !['VALID', 'MALFORMED', 'NOT_FOUND', 'UNAVAILABLE', 'VALIDATION_FAILED'].includes(code),
);

const NEWEST = { ...CURSOR, sentence: 'must be meta.newest of an earlier answer' } as const satisfies Schema;

const LIMIT = {
  type: 'string',
  pattern: '^(?:[1-9]\\d?|100)$',
  sentence: 'must be a whole number from 1 to 100',
} as const satisfies Schema;

/** Which refused calls of a key; conditions are combined by AND. */
export class RefusedCallsQuery {
  /**
   * Refused for this reason.
   * @example "IP_NOT_ALLOWED"
   */
  @Field(optional(oneOf(REFUSAL_CODES)))
  code?: string;

  /** `meta.nextCursor` of the page before: the calls before those. */
  @Field(optional(CURSOR))
  cursor?: string;

  /** `meta.newest` of an earlier answer: only what was refused since. */
  @Field(optional(NEWEST))
  after?: string;

  /**
   * 1 to 100. Absent: 50.
   * @example "50"
   */
  @Field(optional(LIMIT))
  limit?: string;
}
