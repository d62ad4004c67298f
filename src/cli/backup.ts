import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { BackupError, refuseExisting } from '../backup/backup-file.js';
import { makeBackup } from '../backup/make-backup.js';
import { sealSecrets, writePrivately } from '../backup/sealed-secrets.js';
import { StartRefusal } from '../common/start-refusal.js';
import { ConfigError, loadConfig, loadSecretTexts } from '../config/config.js';
import { readPassphrase } from './passphrase.js';

const USAGE = `npm run backup -- <file>               the embedded database, into one file
npm run backup -- --secrets <file>     the secrets, sealed with a passphrase, into another
  --passphrase-file <file>             takes the passphrase from there and does not ask for it`;

/** `npm run backup`: copies of what an installation cannot lose. */
async function main(): Promise<void> {
  const { file, secrets, passphraseFile } = parsed();
  if ((file === undefined) === (secrets === undefined))
    throw new ConfigError(`Name one file, for the database or by --secrets.\n${USAGE}`);
  const lines = file === undefined ? await backUpSecrets(secrets!, passphraseFile) : await backUpDatabase(file);
  process.stdout.write(`${lines.join('\n')}\n`);
}

function parsed() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: { secrets: { type: 'string' }, 'passphrase-file': { type: 'string' } },
    });
    if (positionals.length > 1) throw new TypeError('More than one file is named.');
    return { file: positionals[0], secrets: values.secrets, passphraseFile: values['passphrase-file'] };
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}\n${USAGE}`);
  }
}

async function backUpDatabase(path: string): Promise<string[]> {
  const { header, rows, bytes, leftOut } = await makeBackup(loadConfig(undefined, 'refuse'), path);
  const total = Object.values(rows).reduce((sum, count) => sum + count, 0);
  return [
    `${path}: ${total} rows of ${Object.keys(rows).length} tables in ${bytes} bytes, made by Latchkey ${header.build}.`,
    ...(leftOut.length === 0
      ? []
      : [`NOT in it, because Latchkey has no such tables: ${leftOut.join(', ')}. Back them up with pg_dump.`]),
    `It has everything up to ${header.madeAt}, entry ${header.head.seq} of the audit trail. The secrets are not in it: npm run backup -- --secrets <file>`,
  ];
}

async function backUpSecrets(path: string, passphraseFile: string | undefined): Promise<string[]> {
  await refuseExisting(path);
  const texts = loadSecretTexts();
  await writePrivately(path, await sealSecrets({ ...texts }, await readPassphrase(passphraseFile, true)));
  return [
    `${path}: ${Object.keys(texts).join(', ')}. Keep it, and the passphrase, each in another place than the backups of the database.`,
  ];
}

try {
  await main();
} catch (error) {
  const isExplained = error instanceof StartRefusal || error instanceof BackupError;
  process.stderr.write(`Nothing was backed up:\n${isExplained ? error.message : String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
