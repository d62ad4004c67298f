import { grammarOf } from './grammar.js';

/** An alias, in a body and in the path. `.` and `..` are none: URLs take them for steps. */
export const ALIAS = grammarOf(
  '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,100}$',
  '1 to 100 of A-Z a-z 0-9 . _ -, and neither . nor ..',
);
