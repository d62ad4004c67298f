import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { createReadStream, type ReadStream } from 'node:fs';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';

/** Names the format; another format gets another name. */
const MAGIC = 'latchkey-backup/1';
/** Longest header or trailer, in bytes. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** What a backup says of itself, readable by `head -2`. */
export interface BackupHeader {
  /** Version of the build that made it. */
  readonly build: string;
  readonly postgres: string;
  /** The database's clock when the snapshot was taken, ISO 8601. */
  readonly madeAt: string;
  /** Names of the migrations, oldest first. */
  readonly migrations: readonly string[];
  readonly epoch: string;
  /** Where the audit trail ends; `at` is null while it is empty. */
  readonly head: { readonly seq: string; readonly hash: string; readonly at: string | null };
  /** First days of the months that have a partition of usage events. */
  readonly partitions: readonly string[];
}

/** Table → its number of rows. */
export type RowCounts = Readonly<Record<string, number>>;

interface Trailer {
  readonly rows: RowCounts;
  /** Of everything before the trailer. */
  readonly bytes: number;
  /** SHA-256 of these bytes, hexadecimal. */
  readonly sha256: string;
  /** HMAC-SHA-256 of counts and checksum, hexadecimal. The key is derived from the audit key. */
  readonly mac: string;
}

/** A backup that was checked from its first byte to its last. */
export interface CheckedBackup {
  readonly header: BackupHeader;
  readonly rows: RowCounts;
  /** The content, as it was written. */
  content(): AsyncIterable<Buffer>;
}

/** A backup that cannot be made or used. The message is a sentence for an operator. */
export class BackupError extends Error {}

/**
 * Writes a backup whole or not at all: under another name first, on the disk, then under its own. It never replaces
 * a file.
 *
 * @param content gives chunks; when it ends, `rows` is complete
 * @throws BackupError when the file exists or cannot be written
 */
export async function writeBackup(
  path: string,
  header: BackupHeader,
  content: AsyncIterable<Buffer>,
  rows: () => RowCounts,
  auditKey: Buffer,
): Promise<{ bytes: number }> {
  await refuseExisting(path);
  const unfinished = `${path}.${randomBytes(4).toString('hex')}.unfinished`;
  try {
    const bytes = await writeParts(unfinished, header, content, rows, auditKey);
    await publish(unfinished, path);
    return { bytes };
  } catch (error) {
    if (error instanceof BackupError || !isFileError(error)) throw error;
    throw new BackupError(`${path} could not be written: ${error.message}`, { cause: error });
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** @throws BackupError when there is such a file */
export async function refuseExisting(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found !== null) throw new BackupError(`${path} exists and is not replaced: name a file that does not exist yet.`);
}

async function writeParts(
  path: string,
  header: BackupHeader,
  content: AsyncIterable<Buffer>,
  rows: () => RowCounts,
  auditKey: Buffer,
): Promise<number> {
  const file = await open(path, 'wx', 0o600);
  try {
    const start = Buffer.from(`${MAGIC}\n${JSON.stringify(header)}\n`);
    const sum = createHash('sha256').update(start);
    let bytes = start.length;
    await file.appendFile(start);
    const measured = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        sum.update(chunk);
        bytes += chunk.length;
        done(null, chunk);
      },
    });
    await pipeline(Readable.from(content), createGzip(), measured, async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) await file.appendFile(chunk);
    });
    const sealed = { rows: rows(), bytes, sha256: sum.digest('hex') };
    const trailer: Trailer = { ...sealed, mac: macOf(auditKey, sealed).toString('hex') };
    const end = Buffer.from(`\n${JSON.stringify(trailer)}\n`);
    await file.appendFile(end);
    await file.sync();
    return bytes + end.length;
  } finally {
    await file.close();
  }
}

/** Gives a finished file its name, which nothing has yet. */
async function publish(unfinished: string, path: string): Promise<void> {
  try {
    await link(unfinished, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') await refuseExisting(path);
    // A file system without hard links.
    await refuseExisting(path);
    await rename(unfinished, path);
  }
  const directory = await open(dirname(path), 'r');
  await directory.sync().finally(() => directory.close());
}

/**
 * Reads a backup through and holds it against its checksum and its seal, before anything is made of it.
 *
 * @throws BackupError when it cannot be read, is no backup, was cut short or altered, or was made with another audit
 * key
 */
export async function checkBackup(path: string, auditKeys: readonly Buffer[]): Promise<CheckedBackup> {
  const { size } = await stat(path).catch((cause: Error) => {
    throw new BackupError(`${path} cannot be read: ${cause.message}`, { cause });
  });
  const [magic = '', headerText = ''] = (await readRange(path, 0, Math.min(size, MAX_LINE_BYTES)))
    .toString('latin1')
    .split('\n', 2);
  if (magic !== MAGIC)
    throw new BackupError(
      `${path} is not a backup of Latchkey that this version can read: it does not begin with ${MAGIC}.`,
    );
  const trailer = await readTrailer(path, size);
  const start = MAGIC.length + headerText.length + 2;
  if (trailer === null || (await sha256Of(path, trailer.bytes)) !== trailer.sha256) {
    throw new BackupError(`${path} was cut short or altered: its checksum does not match. Use another backup.`);
  }
  const header = JSON.parse(Buffer.from(headerText, 'latin1').toString('utf8')) as BackupHeader;
  const mac = Buffer.from(trailer.mac, 'hex');
  if (!auditKeys.some((key) => isEqual(mac, macOf(key, trailer)))) {
    throw new BackupError(
      `${path} was made with another AUDIT_KEY, or was altered: put the secrets of that installation in place first (npm run restore -- --secrets <file>).`,
    );
  }
  return {
    header,
    rows: trailer.rows,
    content: () => createReadStream(path, { start, end: trailer.bytes - 1 }).pipe(gunzip()),
  };
}

/** A file that cannot be read any more becomes an error of the content; its checksum was right a moment ago. */
function gunzip() {
  const stream = createGunzip();
  stream.once('pipe', (source: ReadStream) => source.once('error', (error) => stream.destroy(error)));
  return stream;
}

async function readTrailer(path: string, size: number): Promise<Trailer | null> {
  const end = await readRange(path, Math.max(0, size - MAX_LINE_BYTES), size);
  const begin = end.lastIndexOf('\n', end.length - 2);
  if (begin === -1 || end.at(-1) !== 0x0a) return null;
  try {
    const trailer = JSON.parse(end.subarray(begin + 1).toString('utf8')) as Trailer;
    return trailer.bytes === size - (end.length - begin) && typeof trailer.mac === 'string' ? trailer : null;
  } catch {
    return null;
  }
}

async function readRange(path: string, from: number, upTo: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(upTo - from), 0, upTo - from, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function sha256Of(path: string, bytes: number): Promise<string> {
  const sum = createHash('sha256');
  if (bytes > 0)
    for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: 1024 * 1024 }))
      sum.update(chunk as Buffer);
  return sum.digest('hex');
}

function macOf(auditKey: Buffer, { rows, bytes, sha256 }: Omit<Trailer, 'mac'>): Buffer {
  const key = Buffer.from(hkdfSync('sha256', auditKey, '', 'latchkey backup', 32));
  return createHmac('sha256', key)
    .update(JSON.stringify([rows, bytes, sha256]))
    .digest();
}

function isEqual(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
