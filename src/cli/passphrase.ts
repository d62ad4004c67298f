import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { BackupError } from '../backup/backup-file.js';

/**
 * The passphrase out of a file (one line break at its end is not part of it), or from the terminal without an echo.
 * Never from the command line, which every user of the machine can read.
 *
 * @param twice asks again, because a slip would be found out when it is too late
 * @throws BackupError when there is neither
 */
export async function readPassphrase(file: string | undefined, twice: boolean): Promise<string> {
  if (file !== undefined) return fromFile(file);
  if (!process.stdin.isTTY)
    throw new BackupError(
      'There is no terminal to ask for the passphrase: name a file with it by --passphrase-file <file>.',
    );
  const passphrase = await ask('Passphrase: ');
  if (twice && (await ask('Again: ')) !== passphrase) throw new BackupError('The two passphrases are not the same.');
  return passphrase;
}

async function fromFile(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new BackupError(`The passphrase file ${file} cannot be read: ${cause.message}`, { cause });
  });
  const passphrase = text.replace(/\r?\n$/, '');
  if (passphrase === '') throw new BackupError(`The passphrase file ${file} is empty.`);
  return passphrase;
}

/** Asks on standard error, so that it is seen where the output goes into a file. */
async function ask(question: string): Promise<string> {
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      terminal.once('line', resolve);
      terminal.once('close', () => reject(new BackupError('No passphrase was given.')));
    });
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}
