import { IsString, Length } from 'class-validator';
import { TakesSecretsIn } from '../common/secret-members.js';
import { IfPresent, Satisfies } from '../common/validators.js';
import { isEmailAddress } from '../users/user.dto.js';

/** E-mail and password of a person. */
@TakesSecretsIn('email', 'password', 'code')
export class LoginDto {
  /**
   * The e-mail address of the account; upper and lower case are the same.
   * @example "admin@latchkey.local"
   */
  @Satisfies('email', isEmailAddress, 'must be an e-mail address')
  email: string;

  /**
   * The password.
   * @example "correct horse battery staple"
   */
  @IsString()
  @Length(1, 1024)
  password: string;

  /**
   * A code of the authenticator app, or a recovery code; needed where a second factor is set up.
   * @example "492039"
   */
  @IfPresent()
  @IsString()
  @Length(6, 32)
  code?: string;
}
