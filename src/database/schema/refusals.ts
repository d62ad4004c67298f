import { StartRefusal } from '../../common/start-refusal.js';
import type { Catalog } from './catalog.js';
import { additions, differences } from './differences.js';
import type { KnownMigration } from './known-migrations.js';
import type { SchemaRecords } from './records.js';
import type { SqlFunction } from './sql-functions.js';

/** Differences that a start names; the doctor names more. */
const NAMED = 3;

/** What this build knows of the schema. */
export interface KnownSchema {
  readonly migrations: readonly KnownMigration[];
  readonly functions: readonly SqlFunction[];
  readonly expected: Catalog;
}

/** The migrations of the database that this build does not know: a newer build has been here. */
export function newerMigrations(records: SchemaRecords, { migrations }: KnownSchema): string[] {
  return records.applied.filter((name) => !migrations.some((one) => one.name === name));
}

/** The migrations of this build that the database does not have yet. */
export function pendingMigrations(records: SchemaRecords, { migrations }: KnownSchema): KnownMigration[] {
  return migrations.filter(({ name }) => !records.applied.includes(name));
}

/**
 * What can be said before anything is written.
 *
 * @throws StartRefusal where a migration or function of this build is not the one that was recorded, where a function
 *   was edited in the database, or where neither this build nor the one that made the database is the newer one
 */
export function checkBefore(records: SchemaRecords, known: KnownSchema, catalog: Catalog, named = NAMED): void {
  for (const { name, checksum } of known.migrations) {
    if (records.applied.includes(name)) refuseOther(records.migrations.get(name), checksum, `migration ${name}`);
  }
  for (const { name, checksum } of known.functions)
    refuseOther(records.functions.get(name), checksum, `function ${name}`);
  const newer = newerMigrations(records, known);
  const pending = pendingMigrations(records, known);
  if (newer.length > 0 && pending.length > 0) {
    throw new StartRefusal(
      `This database has the migration ${newer[0]}, which this build does not know, and lacks its ${pending[0]!.name}: ` +
        'start a build that has both.',
    );
  }
  if (records.applied.length === 0) refuseOthersTables(known, catalog);
  else if (records.hasChecksums) refuseEdited(functionDifferences(records, known, catalog), newer, named);
  else refuseUnreleased(functionDifferences(records, known, catalog), named);
}

/**
 * What must hold once the database is up to date. On a database of a newer build, only what this build calls and reads:
 * its functions and its columns.
 *
 * @throws StartRefusal naming the first differences
 */
export function checkAfter(records: SchemaRecords, known: KnownSchema, catalog: Catalog, named = NAMED): void {
  const newer = newerMigrations(records, known);
  const needed = newer.length === 0 ? known.expected : only(known.expected, /^(function|column) /);
  refuseEdited(differences(needed, catalog), newer, named);
}

/**
 * A database that has no checksums must be what the first release made, with nothing added that changes how it behaves.
 *
 * @throws StartRefusal naming the first differences
 */
export function checkFirstRelease(expected: Catalog, catalog: Catalog, named = NAMED): void {
  refuseUnreleased([...differences(expected, catalog), ...additions(expected, catalog)], named);
}

function refuseOther(recorded: string | undefined, checksum: string, what: string): void {
  if (recorded === undefined || recorded === checksum) return;
  throw new StartRefusal(
    `The ${what} of this build is not the one that this database was made with: start the build that made the database, ` +
      'or a release. (What was released is never edited; a function that changes gets a new name.)',
  );
}

/** Functions that were changed in the database, or dropped from it. One that was never made is made by the runner. */
function functionDifferences(records: SchemaRecords, { expected }: KnownSchema, catalog: Catalog): string[] {
  const made = new Map(
    [...only(expected, /^function /)].filter(
      ([object]) => catalog.has(object) || records.functions.has(object.slice('function '.length)),
    ),
  );
  return differences(made, catalog);
}

function refuseOthersTables({ expected }: KnownSchema, catalog: Catalog): void {
  const table = [...only(catalog, /^table /).keys()].find((object) => expected.has(object));
  if (table === undefined) return;
  throw new StartRefusal(
    `This database has a ${table} already and no record of our migrations: give Latchkey a database of its own, ` +
      'or restore the table schema_migration with the rest of the backup.',
  );
}

function refuseEdited(found: readonly string[], newer: readonly string[], named: number): void {
  if (found.length === 0) return;
  throw new StartRefusal(
    newer.length === 0
      ? `The schema of this database was edited: ${listed(found, named)}. Undo that, or restore a backup from before; ` +
          'npm run doctor lists the differences.'
      : `This database was migrated by a newer build (${newer.at(-1)}) that this one cannot work beside: ` +
          `${listed(found, named)}. Start the newer build.`,
  );
}

function refuseUnreleased(found: readonly string[], named: number): void {
  if (found.length === 0) return;
  throw new StartRefusal(
    `This database was not made by a release, or was edited since: ${listed(found, named)}. Start the build that made it, ` +
      'undo the edits, restore a backup, or begin with an empty database; npm run doctor lists the differences.',
  );
}

function listed(found: readonly string[], named: number): string {
  const rest = found.length - named;
  return found.slice(0, named).join('; ') + (rest > 0 ? `; and ${rest} more` : '');
}

function only(catalog: Catalog, objects: RegExp): Catalog {
  return new Map([...catalog].filter(([object]) => objects.test(object)));
}
