import { Foundation1790000000000 } from './migrations/1790000000000-foundation.js';
import { Usage1790000000400 } from './migrations/1790000000400-usage.js';
import { Quotas1795300000000 } from './migrations/1795300000000-quotas.js';
import { KeyAccounts1795300000100 } from './migrations/1795300000100-key-accounts.js';

/** All migrations, oldest first. */
export const migrations = [Foundation1790000000000, Usage1790000000400, Quotas1795300000000, KeyAccounts1795300000100];
