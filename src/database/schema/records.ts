import type { Statements } from './sources.js';

/** What this database says of the builds that have worked on it. */
export interface SchemaRecords {
  /** Names of the migrations it has, oldest first. */
  readonly applied: readonly string[];
  /** Whether checksums are kept; the first release kept none. */
  readonly hasChecksums: boolean;
  /** Checksum of each migration, by name. */
  readonly migrations: ReadonlyMap<string, string>;
  /** Checksum of the file each function was made from, by name. */
  readonly functions: ReadonlyMap<string, string>;
}

type Kind = 'migration' | 'function';

/** As TypeORM makes it: builds of the first release read and write it beside this one. */
const TABLES = `
CREATE TABLE IF NOT EXISTS schema_migration (
  id           serial  NOT NULL PRIMARY KEY,
  "timestamp"  bigint  NOT NULL,
  name         varchar NOT NULL
);
CREATE TABLE IF NOT EXISTS schema_checksum (
  kind         text        NOT NULL,
  name         text        NOT NULL,
  checksum     text        NOT NULL,
  recorded_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT schema_checksum_pkey PRIMARY KEY (kind, name),
  CONSTRAINT schema_checksum_kind_check CHECK (kind IN ('migration', 'function'))
)`;

/** Reads them, also from a database that has none. */
export async function readRecords(on: Statements): Promise<SchemaRecords> {
  const [there] = await on.query<{ migrations: boolean; checksums: boolean }[]>(
    `SELECT to_regclass('public.schema_migration') IS NOT NULL AS migrations, to_regclass('public.schema_checksum') IS NOT NULL AS checksums`,
  );
  const applied = there!.migrations
    ? await on.query<{ name: string }[]>('SELECT name FROM schema_migration ORDER BY "timestamp", id')
    : [];
  const rows = there!.checksums
    ? await on.query<{ kind: Kind; name: string; checksum: string }[]>(
        'SELECT kind, name, checksum FROM schema_checksum',
      )
    : [];
  const of = (kind: Kind) =>
    new Map(rows.filter((row) => row.kind === kind).map(({ name, checksum }) => [name, checksum]));
  return {
    applied: applied.map(({ name }) => name),
    hasChecksums: there!.checksums,
    migrations: of('migration'),
    functions: of('function'),
  };
}

/** Makes the tables of the records where they are missing. */
export async function makeRecordTables(on: Statements): Promise<void> {
  await on.query(TABLES);
}

/** Notes what was applied or made, in the transaction of that. */
export async function record(on: Statements, kind: Kind, name: string, checksum: string): Promise<void> {
  await on.query(
    `INSERT INTO schema_checksum AS s (kind, name, checksum) VALUES ($1, $2, $3)
     ON CONFLICT (kind, name) DO UPDATE SET checksum = EXCLUDED.checksum, recorded_at = now() WHERE s.checksum <> EXCLUDED.checksum`,
    [kind, name, checksum],
  );
}
