import { Foundation1790000000000 } from './migrations/1790000000000-foundation.js';

/** All migrations, oldest first. */
export const migrations = [Foundation1790000000000];
