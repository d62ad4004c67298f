import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { BackupError } from '../backup/backup-file.js';
import { makeBackup } from '../backup/make-backup.js';
import { StartRefusal } from '../common/start-refusal.js';
import { ConfigError, loadConfig } from '../config/config.js';

const USAGE = `npm run backup -- <file>                                     the embedded database, into one file`;

/** `npm run backup`: copies of what an installation cannot lose. */
async function main(): Promise<void> {
  const { positionals } = parsed();
  const [path, ...more] = positionals;
  if (path === undefined || more.length > 0) throw new ConfigError(`Name one file.\n${USAGE}`);
  const { header, rows, bytes } = await makeBackup(loadConfig(process.env, { drawsSecrets: false }), path);
  const total = Object.values(rows).reduce((sum, count) => sum + count, 0);
  const lines = [
    `${path}: ${total} rows of ${Object.keys(rows).length} tables, ${bytes} bytes, made by Latchkey ${header.build}.`,
    `It ends with entry ${header.head.seq} of the audit trail, at ${header.madeAt}. The secrets are not in it: npm run backup -- --secrets <file>.`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function parsed() {
  try {
    return parseArgs({ allowPositionals: true, options: {} });
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}\n${USAGE}`);
  }
}

try {
  await main();
} catch (error) {
  const isExplained = error instanceof StartRefusal || error instanceof BackupError;
  process.stderr.write(`Nothing was backed up:\n${isExplained ? error.message : String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
