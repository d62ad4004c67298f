import { Foundation1790000000000 } from './migrations/1790000000000-foundation.js';
import { Usage1790000000400 } from './migrations/1790000000400-usage.js';

/** All migrations, oldest first. */
export const migrations = [Foundation1790000000000, Usage1790000000400];
