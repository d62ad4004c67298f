import { Foundation1790000000000 } from './migrations/1790000000000-foundation.js';
import { ApiKeyLists1790000000100 } from './migrations/1790000000100-api-key-lists.js';
import { Replicas1790000000200 } from './migrations/1790000000200-replicas.js';
import { Quotas1790000000300 } from './migrations/1790000000300-quotas.js';
import { Usage1790000000400 } from './migrations/1790000000400-usage.js';
import { ApiKeyTerms1790000000500 } from './migrations/1790000000500-api-key-terms.js';
import { SecretFingerprints1790000000600 } from './migrations/1790000000600-secret-fingerprints.js';
import { Failover1790000000800 } from './migrations/1790000000800-failover.js';
import { CarriedSpend1790000000900 } from './migrations/1790000000900-carried-spend.js';
import { SecondFactor1790000001600 } from './migrations/1790000001600-second-factor.js';

/** All migrations, oldest first. */
export const migrations = [
  Foundation1790000000000,
  ApiKeyLists1790000000100,
  Replicas1790000000200,
  Quotas1790000000300,
  Usage1790000000400,
  ApiKeyTerms1790000000500,
  SecretFingerprints1790000000600,
  Failover1790000000800,
  CarriedSpend1790000000900,
  SecondFactor1790000001600,
];
