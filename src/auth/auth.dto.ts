import { Field, optional, required } from '../common/field.js';
import { TakesSecretsIn } from '../common/secret-members.js';
import { EMAIL } from '../users/user.dto.js';

/** E-mail and password of a person. */
@TakesSecretsIn('email', 'password', 'code')
export class LoginDto {
  /**
   * The e-mail address of the account; upper and lower case are the same.
   * @example "admin@latchkey.local"
   */
  @Field(required(EMAIL))
  email: string;

  /**
   * The password.
   * @example "correct horse battery staple"
   */
  @Field(required({ type: 'string', minLength: 1, maxLength: 1024 }))
  password: string;

  /**
   * A code of the authenticator app, or a recovery code; needed where a second factor is set up.
   * @example "492039"
   */
  @Field(optional({ type: 'string', minLength: 6, maxLength: 32 }))
  code?: string;
}
