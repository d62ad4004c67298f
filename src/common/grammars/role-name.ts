import { grammarOf } from './grammar.js';

/** The name of a role; the column checks the same. */
export const ROLE_NAME = grammarOf('^[a-z][a-z0-9-]{0,63}$', '1 to 64 of a-z 0-9 - and begin with a letter');
