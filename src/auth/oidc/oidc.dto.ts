import { IfPresent, Satisfies } from '../../common/validators.js';
import { isConsolePath } from './console-address.js';

/** How a sign-in at the identity provider begins. */
export class OidcLoginDto {
  /**
   * Where the console goes on afterwards: a path below `/console`, at most 1024 characters. Default: its first page.
   * @example "/console/keys?status=active"
   */
  @IfPresent()
  @Satisfies('consolePath', isConsolePath, 'must be a path of the console, at most 1024 characters', {
    schema: { type: 'string', pattern: '^/console([/?#]|$)', maxLength: 1024 },
  })
  returnTo?: string;
}
