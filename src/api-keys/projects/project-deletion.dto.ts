import { ApiHideProperty } from '@nestjs/swagger';
import { UUID, oneOf } from '../../../packages/contract/src/grammar.js';
import { Field, optional } from '../../common/field.js';

/** What becomes of the keys of a project that are not revoked. */
export class DeleteProjectQueryDto {
  /** Revoke them all; needs `platform:api-keys:delete`. */
  @Field(optional(oneOf(['revoke'])))
  keys?: 'revoke';

  /**
   * Move them to this project; needs `platform:api-keys:assign`.
   * @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  transferTo?: string;

  // Read by `WaitsForReplicas`, which documents it as well; named here because unknown parameters are refused.
  @ApiHideProperty()
  @Field(optional(oneOf(['true', 'false'])))
  wait?: 'true' | 'false';
}
