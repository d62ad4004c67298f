import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { BackupError } from '../backup/backup-file.js';
import { restoreBackup } from '../backup/restore-backup.js';
import { StartRefusal } from '../common/start-refusal.js';
import { ConfigError, loadConfig } from '../config/config.js';

const USAGE = `npm run restore -- <file>`;

async function main(): Promise<void> {
  const { positionals } = parseArgs({ allowPositionals: true, options: {} });
  const [path] = positionals;
  if (path === undefined) throw new ConfigError(USAGE);
  await restoreBackup(loadConfig(process.env, { drawsSecrets: false }), path, async () => undefined);
}

try {
  await main();
} catch (error) {
  const isExplained = error instanceof StartRefusal || error instanceof BackupError;
  process.stderr.write(`Nothing was restored:\n${isExplained ? error.message : String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
