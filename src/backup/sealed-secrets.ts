import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { link, mkdir, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BackupError } from './backup-file.js';

/** Names the format; another format gets another name. */
const TYPE = 'latchkey-secrets/1';
/** scrypt: 128 MiB and some 0.4 s for each passphrase that is tried. @see RFC 7914 */
const COST = { N: 2 ** 17, r: 8, p: 1 } as const;
/** A header that asks for more than this was altered. */
const MAX_N = 2 ** 20;
const MIN_PASSPHRASE_LENGTH = 12;

/** A file of sealed secrets: JSON, binary members in base64. */
interface SealedFile {
  readonly type: typeof TYPE;
  readonly kdf: {
    readonly name: 'scrypt';
    readonly N: number;
    readonly r: number;
    readonly p: number;
    readonly salt: string;
  };
  readonly cipher: 'aes-256-gcm';
  readonly iv: string;
  readonly ciphertext: string;
  readonly tag: string;
}

/** Seals `secrets` with a passphrase. @throws BackupError for one that is too short */
export async function sealSecrets(secrets: Readonly<Record<string, string>>, passphrase: string): Promise<string> {
  if (passphrase.length < MIN_PASSPHRASE_LENGTH)
    throw new BackupError(`The passphrase must have at least ${MIN_PASSPHRASE_LENGTH} characters.`);
  const kdf = { name: 'scrypt', ...COST, salt: randomBytes(16).toString('base64') } as const;
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', await keyOf(passphrase, kdf), iv).setAAD(headerOf(kdf));
  const ciphertext = Buffer.concat([cipher.update(JSON.stringify(secrets), 'utf8'), cipher.final()]);
  const file: SealedFile = {
    type: TYPE,
    kdf,
    cipher: 'aes-256-gcm',
    iv: iv.toString('base64'),
    ciphertext: ciphertext.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/**
 * Opens what `sealSecrets` gave. @throws BackupError when it is something else, or the passphrase is not the right one
 */
export async function openSecrets(text: string, passphrase: string): Promise<Record<string, string>> {
  const file = parse(text);
  const key = await keyOf(passphrase, file.kdf);
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(file.iv, 'base64'), { authTagLength: 16 })
      .setAAD(headerOf(file.kdf))
      .setAuthTag(Buffer.from(file.tag, 'base64'));
    const clear = Buffer.concat([decipher.update(Buffer.from(file.ciphertext, 'base64')), decipher.final()]);
    return JSON.parse(clear.toString('utf8')) as Record<string, string>;
  } catch (cause) {
    throw new BackupError('The passphrase is wrong, or the file was altered.', { cause });
  }
}

/** Writes a file that only its owner reads, whole or not at all, and never over another. @throws BackupError */
export async function writePrivately(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomBytes(4).toString('hex')}.unfinished`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(draft, path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new BackupError(
      code === 'EEXIST' ? `${path} exists and is not replaced.` : `${path} could not be written: ${message}`,
      { cause },
    );
  } finally {
    await rm(draft, { force: true });
  }
}

function parse(text: string): SealedFile {
  let file: Partial<SealedFile> | null = null;
  try {
    file = JSON.parse(text) as Partial<SealedFile> | null;
  } catch {
    // Said below.
  }
  const members = [file?.iv, file?.ciphertext, file?.tag, file?.kdf?.salt];
  if (
    file?.type !== TYPE ||
    file.kdf?.name !== 'scrypt' ||
    file.cipher !== 'aes-256-gcm' ||
    members.some((member) => typeof member !== 'string')
  ) {
    throw new BackupError(`This is not a file of sealed secrets that this version can read: its type is not ${TYPE}.`);
  }
  return file as SealedFile;
}

/** What the tag covers beside the secrets. */
function headerOf(kdf: SealedFile['kdf']): Buffer {
  return Buffer.from(JSON.stringify([TYPE, kdf.name, kdf.N, kdf.r, kdf.p, kdf.salt]));
}

/** @throws BackupError for a cost that `sealSecrets` never gave */
async function keyOf(passphrase: string, { N, r, p, salt }: SealedFile['kdf']): Promise<Buffer> {
  const isPossible = [N, r, p].every(Number.isInteger) && Number.isInteger(Math.log2(N));
  if (!(isPossible && N >= 2 && N <= MAX_N && r >= 1 && r <= 16 && p >= 1 && p <= 4))
    throw new BackupError('The file asks for a cost that no backup has: it was altered. Take another copy of it.');
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(passphrase.normalize('NFC'), 'utf8');
    scrypt(bytes, Buffer.from(salt, 'base64'), 32, { N, r, p, maxmem: 160 * N * r }, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}
