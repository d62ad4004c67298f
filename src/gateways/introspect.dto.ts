import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { BodySchema } from '../common/body-schema.js';

/** Is this token good? Parameters that are not named here are ignored, as OAuth asks. */
@BodySchema({
  type: 'object',
  required: ['token'],
  properties: { token: { type: 'string' }, token_type_hint: { type: 'string', maxLength: 128 } },
})
export class IntrospectDto {
  /**
   * What the client presented: an API key, or a session token of this installation. Any other text is not active.
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  @ApiProperty()
  token: string;

  /**
   * Allowed and without effect: what a token is can be seen.
   * @example "access_token"
   */
  @ApiPropertyOptional({ maxLength: 128 })
  token_type_hint?: string | null;

  /** With `client_secret`: the name of the calling service. Any will do. */
  client_id?: string;

  /** The calling service’s own key, where it is in no header. */
  client_secret?: string;
}
