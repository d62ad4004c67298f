import { IsEmail, IsString, Length, MaxLength } from 'class-validator';

/** E-mail and password of a person. */
export class LoginDto {
  /**
   * The e-mail address of the account; upper and lower case are the same.
   * @example "admin@latchkey.local"
   */
  @IsEmail()
  @MaxLength(254)
  email: string;

  /**
   * The password.
   * @example "correct horse battery staple"
   */
  @IsString()
  @Length(1, 1024)
  password: string;
}
