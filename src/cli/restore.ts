import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { DataSource } from 'typeorm';
import { type AfterRestore, afterRestore, describeAfterRestore } from '../backup/after-restore.js';
import { BackupError } from '../backup/backup-file.js';
import { restoreBackup } from '../backup/restore-backup.js';
import { openSecrets, writePrivately } from '../backup/sealed-secrets.js';
import { sentenceOf } from '../common/start-refusal.js';
import { type Config, ConfigError, loadConfig, secretsFileOf } from '../config/config.js';
import { dataSource } from '../database/data-source.js';
import { openDatabase } from '../database/open-database.js';
import { entities } from '../server/entities.js';
import { checkSecrets } from '../installation/secret-check.js';
import { readPassphrase } from './passphrase.js';

const USAGE = `npm run restore -- <file>              a backup of the embedded database, into an empty DATA_DIR
npm run restore -- --after             what follows the restore of a PostgreSQL of your own
  --checkpoints <file>                 a checkpoint file in place of AUDIT_CHECKPOINT_FILE; may be given several times
npm run restore -- --secrets <file>    sealed secrets, into DATA_DIR
  --to <directory>                     into a file for each variable
  --passphrase-file <file>             takes the passphrase from there and does not ask for it`;

type Options = ReturnType<typeof parsed>;

/** `npm run restore`: makes a database of a backup, or makes a restored one fit to serve. */
async function main(): Promise<void> {
  const options = parsed();
  const { file, after, secrets } = options;
  if ([file !== undefined, after, secrets !== undefined].filter(Boolean).length !== 1)
    throw new ConfigError(`Name a backup, or give --after or --secrets.\n${USAGE}`);
  const lines = secrets === undefined ? await restoreDatabase(options) : await restoreSecrets(secrets, options);
  process.stdout.write(`${lines.join('\n')}\n`);
}

function parsed() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        after: { type: 'boolean', default: false },
        checkpoints: { type: 'string', multiple: true, default: [] },
        secrets: { type: 'string' },
        to: { type: 'string' },
        'passphrase-file': { type: 'string' },
      },
    });
    if (positionals.length > 1) throw new TypeError('More than one file is named.');
    return { file: positionals[0], ...values };
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}\n${USAGE}`);
  }
}

async function restoreDatabase({ file, checkpoints }: Options): Promise<string[]> {
  const config = loadConfig(undefined, 'refuse');
  const files = checkpointFiles(config, checkpoints);
  const done = file === undefined ? await finish(config, files) : await restore(config, file, files);
  return [...describeAfterRestore(done), 'Done. Start the server; npm run doctor checks the books.'];
}

async function restoreSecrets(path: string, { to, 'passphrase-file': passphraseFile }: Options): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new BackupError(`${path} cannot be read: ${cause.message}`, { cause });
  });
  const target = to === undefined ? secretsFileOf() : null;
  if (to === undefined && target === null)
    throw new ConfigError(
      'With DATABASE_URL or NODE_ENV=production, name a directory for the secrets by --to <directory>.',
    );
  const secrets = await openSecrets(text, await readPassphrase(passphraseFile, false));
  if (target !== null) {
    await writePrivately(target, JSON.stringify(secrets, null, 2));
    return [`${target}: ${Object.keys(secrets).join(', ')}.`];
  }
  for (const [name, value] of Object.entries(secrets)) await writePrivately(join(to!, name), `${value}\n`);
  return Object.keys(secrets).map((name) => `${name}_FILE=${resolve(to!, name)}`);
}

/** One that is named must be there; the configured one may not have been begun. */
function checkpointFiles({ auditCheckpointFile }: Config, checkpoints: readonly string[]): readonly string[] {
  if (checkpoints.length > 0) return checkpoints;
  return auditCheckpointFile !== null && existsSync(auditCheckpointFile) ? [auditCheckpointFile] : [];
}

async function restore(config: Config, path: string, files: readonly string[]): Promise<AfterRestore> {
  const { backup, result } = await restoreBackup(config, path, async (appUrl) => {
    const pool = await dataSource(appUrl, { max: 2, entities }).initialize();
    return finishOn(config, pool, files).finally(() => pool.destroy());
  });
  const total = Object.values(backup.rows).reduce((sum, count) => sum + count, 0);
  process.stdout.write(`${path}: ${total} rows restored into ${config.dataDir}.\n`);
  return result;
}

async function finish(config: Config, files: readonly string[]): Promise<AfterRestore> {
  const database = await openDatabase(config, entities);
  return finishOn(config, database.dataSource, files).finally(() => database.close());
}

/** With the wrong secrets nothing that the checkpoint files say could be believed. */
async function finishOn(config: Config, pool: DataSource, files: readonly string[]): Promise<AfterRestore> {
  await checkSecrets(config, pool.manager);
  return afterRestore(config, pool, files);
}

try {
  await main();
} catch (error) {
  const sentence = error instanceof BackupError ? error.message : sentenceOf(error);
  process.stderr.write(`The restore was not done:\n${sentence ?? String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
