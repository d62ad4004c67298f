import { IsString, Length } from 'class-validator';
import { TakesSecretsIn } from '../../common/secret-members.js';

/** One's own password, asked for again. */
@TakesSecretsIn('password')
export class OwnPasswordDto {
  /**
   * Your current password.
   * @example "correct horse battery staple"
   */
  @IsString()
  @Length(1, 1024)
  password: string;
}

/** The first code of a new second factor. */
@TakesSecretsIn('code')
export class ConfirmSecondFactorDto {
  /**
   * The code that the authenticator app shows now.
   * @example "492039"
   */
  @IsString()
  @Length(6, 16)
  code: string;
}
