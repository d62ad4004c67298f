import type { StartCheck } from '../../common/start-refusal.js';
import { readCatalog } from './catalog.js';
import { FIRST_RELEASE_MIGRATIONS, firstReleaseCatalog } from './expected.js';
import { readRecords } from './records.js';
import { checkAfter, checkBefore, checkFirstRelease, newerMigrations, pendingMigrations } from './refusals.js';
import { knownSchema } from './runner.js';
import type { Statements } from './sources.js';

/** Differences that are named here; a start names fewer. */
const NAMED = 50;

/**
 * Whether this build starts on the schema of a database, without changing it. A migration that is missing is no reason
 * against: the next start runs it.
 */
export function schemaCheck(on: Statements): StartCheck {
  return {
    check: 'the schema is what this build expects',
    run: async () => {
      const [known, records, catalog] = [knownSchema(), await readRecords(on), await readCatalog(on)];
      checkBefore(records, known, catalog, NAMED);
      const pending = pendingMigrations(records, known);
      if (records.applied.length === 0) return 'none yet; the next start makes it';
      if (!records.hasChecksums && !pending.some(({ name }) => FIRST_RELEASE_MIGRATIONS.includes(name))) {
        checkFirstRelease(firstReleaseCatalog(), catalog, NAMED);
        return 'as the first release made it; the next start keeps its checksums';
      }
      if (pending.length > 0) return `the next start runs ${pending.length} migrations, from ${pending[0]!.name}`;
      checkAfter(records, known, catalog, NAMED);
      const newer = newerMigrations(records, known);
      return newer.length === 0 ? null : `migrated by a newer build, to ${newer.at(-1)}`;
    },
  };
}
