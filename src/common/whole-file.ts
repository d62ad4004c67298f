import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { link, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

const MODE = 0o640;

/** What a file is. */
export interface FileIdentity {
  readonly bytes: number;
  /** Of the file as it is stored, hexadecimal. */
  readonly sha256: string;
}

/**
 * Writes content, compressed, as a file of this name: whole and on the disk, or not at all. A file that is there
 * already with the same content stays; it is what a process left that was killed.
 *
 * @param content begins to read: it must give the same each time
 * @param elsewhere what to do where another file has the name, to be read after "exists with other content:"
 * @throws Error where another file has the name: it is never written over
 */
export async function writeCompressed(
  directory: string,
  name: string,
  content: () => AsyncIterable<Buffer | string>,
  elsewhere: string,
): Promise<FileIdentity> {
  await mkdir(directory, { recursive: true });
  // Another replica may write the same file after this one was taken for dead: each has one of its own until it is
  // whole.
  const partial = join(directory, `.${name}.${process.pid}.${Date.now()}.partial`);
  try {
    const hash = createHash('sha256');
    await pipeline(
      // Not before there is a pipeline: a stream that fails and that nothing listens to ends the process.
      content,
      createGzip(),
      hashed(hash),
      createWriteStream(partial, { flags: 'wx', mode: MODE, flush: true }),
    );
    const sha256 = hash.digest('hex');
    const path = join(directory, name);
    await place(partial, path, sha256, elsewhere);
    return { bytes: (await stat(path)).size, sha256 };
  } finally {
    await rm(partial, { force: true });
  }
}

/** Writes a small file, whole and on the disk, in place of the one that has its name. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const partial = `${path}.${process.pid}.${Date.now()}.partial`;
  await writeFile(partial, text, { mode: MODE, flush: true });
  await rename(partial, path);
  await syncNames(dirname(path));
}

/** Puts a file on the disk, and its name: what a process left that was killed may be in memory alone. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  await file.sync().finally(() => file.close());
  await syncNames(dirname(path));
}

/** The names themselves, which a power cut would lose otherwise. */
async function syncNames(directory: string): Promise<void> {
  const entries = await open(directory, 'r');
  await entries.sync().finally(() => entries.close());
}

/** SHA-256 of a file, hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Gives the finished file its name; a link, unlike a rename, does not replace what is there. */
async function place(partial: string, path: string, sha256: string, elsewhere: string): Promise<void> {
  try {
    await link(partial, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if ((await sha256Of(path)) !== sha256)
      throw new Error(`${path} exists with other content: ${elsewhere}`, { cause: error });
  }
}

function hashed(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}
