import { Foundation1790000000000 } from './migrations/1790000000000-foundation.js';
import { Replicas1790000000200 } from './migrations/1790000000200-replicas.js';

/** All migrations, oldest first. */
export const migrations = [Foundation1790000000000, Replicas1790000000200];
