import { buildInfo, describeBuild } from '../common/build-info.js';
import { type Config, ConfigError } from '../config/config.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../database/embedded-postgres.js';
import { migrate } from '../database/migrate.js';
import { abandonRestore, beginRestore, endRestore } from '../database/unfinished-restore.js';
import { BackupError, type CheckedBackup, checkBackup } from './backup-file.js';
import { loadBackup } from './load.js';
import { BUILD_MIGRATIONS, withOwner } from './make-backup.js';

/**
 * Makes the embedded database of a backup in an empty `DATA_DIR`, and then does `after` on it. Until `after` is done
 * nothing starts on the directory; a restore that fails leaves it empty, one that is killed can be repeated.
 *
 * @param after gets the URL of the application's role
 * @throws StartRefusal, BackupError with a sentence that says what to do
 */
export async function restoreBackup<T>(
  config: Config,
  path: string,
  after: (appUrl: string) => Promise<T>,
): Promise<{ backup: CheckedBackup; result: T }> {
  if (config.databaseUrl !== null) {
    throw new ConfigError(
      'With DATABASE_URL, restore with the tools of PostgreSQL; then run npm run restore -- --after. See docs/backup-and-restore.md.',
    );
  }
  const backup = await checkBackup(
    path,
    config.auditKeys.map(({ key }) => key),
  );
  refuseOtherVersion(path, backup);
  await beginRestore(config.dataDir);
  try {
    const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir });
    const result = await fill(embedded, backup, after).finally(() => embedded.stop());
    await endRestore(config.dataDir);
    return { backup, result };
  } catch (error) {
    await abandonRestore(config.dataDir);
    throw error;
  }
}

async function fill<T>(
  { ownerUrl, appUrl }: EmbeddedPostgres,
  backup: CheckedBackup,
  after: (appUrl: string) => Promise<T>,
): Promise<T> {
  await migrate(ownerUrl);
  await withOwner(ownerUrl, (client) => loadBackup(client, backup));
  return after(appUrl);
}

function refuseOtherVersion(path: string, { header }: CheckedBackup): void {
  if (header.migrations.join() === BUILD_MIGRATIONS.join()) return;
  throw new BackupError(
    `${path} was made by Latchkey ${header.build} and this is ${describeBuild(buildInfo())}, whose schema is another ` +
      `(newest migration ${header.migrations.at(-1) ?? 'none'}, here ${BUILD_MIGRATIONS.at(-1)!}): restore it with Latchkey ${header.build}, then start this version on it to upgrade.`,
  );
}
