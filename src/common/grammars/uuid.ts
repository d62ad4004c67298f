import { grammarOf } from './grammar.js';

/** A UUID of any version in its canonical, hyphenated form; upper case is accepted. */
export const UUID = grammarOf(
  '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$',
  'a UUID',
);
