import { type Catalog, parseCatalog } from './catalog.js';
import { readSource } from './sources.js';

/** Where `npm run schema:update` writes what this build expects. */
export const EXPECTED_FILE = new URL('./expected.txt', import.meta.url);

/** What the first release made, which kept no checksums. */
const FIRST_RELEASE_FILE = new URL('./release-1.txt', import.meta.url);

/** The migrations of the first release, which kept no checksums. */
export const FIRST_RELEASE_MIGRATIONS: readonly string[] = [
  'Foundation1790000000000',
  'ApiKeyLists1790000000100',
  'Replicas1790000000200',
  'Quotas1790000000300',
  'Usage1790000000400',
  'ApiKeyTerms1790000000500',
];

/** What the database of this build consists of once all migrations have run and all functions are made. */
export function expectedCatalog(): Catalog {
  return parseCatalog(readSource(EXPECTED_FILE));
}

/** What the database of the first release consists of. */
export function firstReleaseCatalog(): Catalog {
  return parseCatalog(readSource(FIRST_RELEASE_FILE));
}
