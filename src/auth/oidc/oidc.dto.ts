import { Field, optional } from '../../common/field.js';
import { isConsolePath } from './console-address.js';

const NO_PATH = 'must be a path of the console, at most 1024 characters';

const CONSOLE_PATH = {
  type: 'string',
  pattern: '^/console([/?#]|$)',
  maxLength: 1024,
  sentence: NO_PATH,
  check: (path: string) => (isConsolePath(path) ? null : NO_PATH),
} as const;

/** How a sign-in at the identity provider begins. */
export class OidcLoginDto {
  /**
   * Where the console goes on afterwards: a path below `/console`, at most 1024 characters. Default: its first page.
   * @example "/console/keys?status=active"
   */
  @Field(optional(CONSOLE_PATH))
  returnTo?: string;
}
