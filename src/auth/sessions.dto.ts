import { oneOf } from '../../packages/contract/src/grammar.js';
import { Field, optional } from '../common/field.js';

/** Which sessions stay. */
export class EndSessionsQueryDto {
  /** Keep the session of this request; for your own sessions alone. */
  @Field(optional(oneOf(['current'])))
  except?: 'current';
}
