import { Field, optional } from '../../common/field.js';
import { OVERLAP_SECONDS } from '../change/key-lifecycle.dto.js';

/** An offer of a key's next secret to its owner. */
export class HandOverDto {
  /**
   * How long the old secret goes on working once the new one is drawn, 0 to 604 800 (7 days); absent: 0, it ends then.
   * @example 3600
   */
  @Field(optional(OVERLAP_SECONDS))
  overlapSeconds?: number;
}
