import { Field, required } from '../../common/field.js';
import { TakesSecretsIn } from '../../common/secret-members.js';

/** One's own password, asked for again. */
@TakesSecretsIn('password')
export class OwnPasswordDto {
  /**
   * Your current password.
   * @example "correct horse battery staple"
   */
  @Field(required({ type: 'string', minLength: 1, maxLength: 1024 }))
  password: string;
}

/** The first code of a new second factor. */
@TakesSecretsIn('code')
export class ConfirmSecondFactorDto {
  /**
   * The code that the authenticator app shows now.
   * @example "492039"
   */
  @Field(required({ type: 'string', minLength: 6, maxLength: 16 }))
  code: string;
}
