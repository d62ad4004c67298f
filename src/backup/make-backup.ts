import { Client } from 'pg';
import { buildInfo, describeBuild } from '../common/build-info.js';
import { type Config, ConfigError } from '../config/config.js';
import { findCluster, startEmbeddedPostgres } from '../database/embedded-postgres.js';
import { migrations } from '../database/migrations.js';
import { refuseUnfinishedRestore } from '../database/unfinished-restore.js';
import { type BackupHeader, BackupError, refuseExisting, type RowCounts, writeBackup } from './backup-file.js';
import { beginDump } from './dump.js';

/** A backup that was made. */
export interface MadeBackup {
  readonly header: BackupHeader;
  readonly rows: RowCounts;
  readonly bytes: number;
  /** Tables that are not of Latchkey's schema. */
  readonly leftOut: readonly string[];
}

/** Names of the migrations of this build, oldest first. */
export const BUILD_MIGRATIONS: readonly string[] = migrations.map(({ name }) => name);

/**
 * Writes the embedded database into one file, beside servers that use it or without one.
 *
 * @throws StartRefusal, BackupError with a sentence that says what to do
 */
export async function makeBackup(config: Config, path: string): Promise<MadeBackup> {
  if (config.databaseUrl !== null) {
    throw new ConfigError(
      'With DATABASE_URL, back up with the tools of PostgreSQL: pg_dump, or base backups with an archive of the WAL. See docs/backup-and-restore.md.',
    );
  }
  await refuseExisting(path);
  await refuseUnfinishedRestore(config.dataDir);
  if ((await findCluster(config.dataDir)) === null) {
    throw new ConfigError(`There is no database in ${config.dataDir}: set DATA_DIR to where it is.`);
  }
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir });
  try {
    return await withOwner(embedded.ownerUrl, async (client) => {
      const dump = await beginDump(client, describeBuild(buildInfo()));
      refuseOtherSchema(dump.header);
      const { bytes } = await writeBackup(
        path,
        dump.header,
        dump.content(),
        () => dump.rows(),
        config.auditKeys[0]!.key,
      );
      return { header: dump.header, rows: dump.rows(), bytes, leftOut: dump.leftOut };
    });
  } finally {
    await embedded.stop();
  }
}

/** Runs `work` on a session of the owner, which has all the time it needs. */
export async function withOwner<T>(ownerUrl: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: ownerUrl, application_name: 'latchkey-backup', keepAlive: true });
  // A connection that is lost between two statements is reported by the next one; unheard it would end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A file that says it was made by this version must be one that this version restores. */
function refuseOtherSchema({ migrations: found }: BackupHeader): void {
  if (found.join() === BUILD_MIGRATIONS.join()) return;
  throw new BackupError(
    `The database was last started by another version (its newest migration is ${found.at(-1) ?? 'none'}): make the backup with that version, or start this one first.`,
  );
}
