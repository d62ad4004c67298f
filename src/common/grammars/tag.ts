import { grammarOf } from './grammar.js';

/** A tag. */
export const TAG = grammarOf('^[A-Za-z0-9._:/-]{1,64}$', '1 to 64 of A-Z a-z 0-9 . _ : / -');
