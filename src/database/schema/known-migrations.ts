import { readdirSync } from 'node:fs';
import type { MigrationInterface } from 'typeorm';
import { migrations } from '../migrations.js';
import { checksumOf, readSource } from './sources.js';

const FOLDER = new URL('../migrations/', import.meta.url);

/** A migration of this build. */
export interface KnownMigration {
  /** As in `schema_migration`; ends with the timestamp. */
  readonly name: string;
  readonly timestamp: number;
  /** Of its source, which the build keeps beside the compiled file: compilers differ, and the source does not. */
  readonly checksum: string;
  readonly migration: MigrationInterface;
}

/** All migrations of this build, oldest first. */
export function knownMigrations(): KnownMigration[] {
  const files = readdirSync(FOLDER);
  return migrations.map((Migration) => {
    const migration: MigrationInterface = new Migration();
    const name = migration.name ?? Migration.name;
    const timestamp = Number(name.slice(-13));
    const file = files.find((one) => one.startsWith(`${timestamp}-`) && one.endsWith('.ts'));
    if (file === undefined) throw new Error(`The source of the migration ${name} is not beside it: run npm run build.`);
    return { name, timestamp, checksum: checksumOf(readSource(new URL(file, FOLDER))), migration };
  });
}
