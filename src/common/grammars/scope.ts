import { grammarOf } from './grammar.js';

/** A scope. A pattern of scopes is of the same grammar, which allows `*`. @see RFC 6749, section 3.3 */
export const SCOPE = grammarOf(
  '^[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,128}$',
  '1 to 128 visible ASCII characters without quotes, backslashes and spaces',
);
