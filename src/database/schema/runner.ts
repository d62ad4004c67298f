import { QueryFailedError, type QueryRunner } from 'typeorm';
import { SQL_STATES, sqlState } from '../../common/database-errors.js';
import { StartRefusal } from '../../common/start-refusal.js';
import { readCatalog } from './catalog.js';
import { expectedCatalog, FIRST_RELEASE_MIGRATIONS, firstReleaseCatalog } from './expected.js';
import { type KnownMigration, knownMigrations } from './known-migrations.js';
import { makeRecordTables, readRecords, record } from './records.js';
import {
  checkAfter,
  checkBefore,
  checkFirstRelease,
  type KnownSchema,
  newerMigrations,
  pendingMigrations,
} from './refusals.js';
import { type SqlFunction, sqlFunctions } from './sql-functions.js';

/** Gets one sentence for each thing worth telling an operator. */
export type SchemaLog = (line: string) => void;

/** What this build knows of the schema. */
export function knownSchema(): KnownSchema {
  return { migrations: knownMigrations(), functions: sqlFunctions(), expected: expectedCatalog() };
}

/**
 * Runs the migrations that are missing, each in a transaction of its own, makes the functions that are missing, and
 * compares what there is with what this build expects. The caller holds the lock of migrations. What an earlier build
 * made is checked before anything is written.
 *
 * @throws StartRefusal where the schema is not what a release made, or a migration fails
 */
export async function bringUpToDate(runner: QueryRunner, log: SchemaLog): Promise<void> {
  const known = knownSchema();
  await applyMissing(runner, known, log);
  checkAfter(await readRecords(runner), known, await readCatalog(runner));
}

/** As `bringUpToDate`, without the comparison at the end: for what writes down what is to be expected. */
export async function applyMissing(runner: QueryRunner, known: KnownSchema, log: SchemaLog): Promise<void> {
  const startedMs = performance.now();
  let records = await readRecords(runner);
  checkBefore(records, known, await readCatalog(runner));
  const isNew = records.applied.length === 0;
  if (isNew) await makeRecordTables(runner);
  else if (!records.hasChecksums) await adopt(runner, known, log);
  records = await readRecords(runner);
  // Of a new database, one line says it all.
  const each = isNew ? () => undefined : log;
  for (const pending of pendingMigrations(records, known)) await apply(runner, pending, true, each);
  if (newerMigrations(records, known).length === 0) await makeFunctions(runner, known, each);
  if (isNew) log(`Made the schema: ${known.migrations.length} migrations, in ${secondsSince(startedMs)} s.`);
}

/**
 * Takes over a database of the first release, which kept no checksums. One that was killed in its first start is
 * completed.
 */
async function adopt(runner: QueryRunner, known: KnownSchema, log: SchemaLog): Promise<void> {
  const records = await readRecords(runner);
  const isOfFirstRelease = ({ name }: { name: string }) => FIRST_RELEASE_MIGRATIONS.includes(name);
  for (const pending of pendingMigrations(records, known).filter(isOfFirstRelease))
    await apply(runner, pending, false, log);
  checkFirstRelease(firstReleaseCatalog(), await readCatalog(runner));
  await inTransaction(runner, async () => {
    await makeRecordTables(runner);
    for (const { name, checksum } of known.migrations.filter(isOfFirstRelease))
      await record(runner, 'migration', name, checksum);
  });
  log('The schema is that of the first release; its checksums are kept from now on.');
}

async function apply(
  runner: QueryRunner,
  { name, timestamp, checksum, migration }: KnownMigration,
  isRecorded: boolean,
  log: SchemaLog,
): Promise<void> {
  const startedMs = performance.now();
  const work = async () => {
    await migration.up(runner);
    await runner.query('INSERT INTO schema_migration ("timestamp", name) VALUES ($1, $2)', [timestamp, name]);
    if (isRecorded) await record(runner, 'migration', name, checksum);
  };
  try {
    await inTransaction(runner, work);
  } catch (error) {
    throw failure(`The migration ${name}`, error);
  }
  log(`Migrated: ${name}, in ${secondsSince(startedMs)} s.`);
}

/** Makes the functions that are not there, and notes those that a migration made. None is ever replaced. */
async function makeFunctions(runner: QueryRunner, { functions }: KnownSchema, log: SchemaLog): Promise<void> {
  const [catalog, records] = [await readCatalog(runner), await readRecords(runner)];
  const isMissing = ({ name }: SqlFunction) => !catalog.has(`function ${name}`);
  const unnoted = functions.filter((one) => isMissing(one) || !records.functions.has(one.name));
  if (unnoted.length === 0) return;
  await inTransaction(runner, async () => {
    // They may name each other, in any order.
    await runner.query('SET LOCAL check_function_bodies = off');
    for (const one of unnoted) {
      if (isMissing(one)) {
        await runner.query(one.statement).catch((error: unknown) => {
          throw failure(`Making the function ${one.name}`, error);
        });
        log(`Made the function ${one.name}.`);
      }
      await record(runner, 'function', one.name, one.checksum);
    }
  });
}

async function inTransaction(runner: QueryRunner, work: () => Promise<void>): Promise<void> {
  await runner.startTransaction();
  try {
    await work();
    await runner.commitTransaction();
  } catch (error) {
    await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
}

/** What PostgreSQL refused is one sentence; a connection that was lost is not the migration's. */
function failure(what: string, error: unknown): unknown {
  const state = sqlState(error);
  if (!(error instanceof QueryFailedError) || state === '') return error;
  // Missing rights are told by what opens the database, which knows the settings.
  if (state === SQL_STATES.insufficientPrivilege) return error;
  return new StartRefusal(
    `${what} failed and was undone (${error.message}, SQLSTATE ${state}): put right what it names and start again.`,
    { cause: error },
  );
}

function secondsSince(startedMs: number): string {
  return ((performance.now() - startedMs) / 1000).toFixed(1);
}
