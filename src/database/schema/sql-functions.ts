import { readdirSync } from 'node:fs';
import { checksumOf, readSource, type Statements } from './sources.js';

const FOLDER = new URL('../functions/', import.meta.url);

/** A function of the database, as its file says it. */
export interface SqlFunction {
  /** Of the file and of the function: there are no two functions of one name. */
  readonly name: string;
  readonly statement: string;
  /** Of the statement alone: comments above it may change. */
  readonly checksum: string;
}

/** All functions of `src/database/functions`, by name. */
export function sqlFunctions(): SqlFunction[] {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.sql'));
  return files.sort().map((file) => readFunction(file.slice(0, -'.sql'.length)));
}

/**
 * Makes a function that a migration needs, from its file. Every other function is made after the migrations.
 *
 * @throws Error when there is no such file
 */
export async function createFunction(on: Statements, name: string): Promise<void> {
  await on.query(readFunction(name).statement);
}

function readFunction(name: string): SqlFunction {
  const source = readSource(new URL(`${name}.sql`, FOLDER));
  const start = source.indexOf('CREATE OR REPLACE FUNCTION ');
  if (start < 0) throw new Error(`src/database/functions/${name}.sql has no CREATE OR REPLACE FUNCTION.`);
  const statement = source.slice(start).trimEnd();
  return { name, statement, checksum: checksumOf(statement) };
}
