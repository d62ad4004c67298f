import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { link, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** What is summed of events; columns of `usage_event`. */
export const SUMMED = ['requests', 'input_tokens', 'output_tokens', 'cost_micro_cents'] as const;
type Summed = (typeof SUMMED)[number];

/** What the file beside an archive says of it. It has no time of its own: made again, it is the same. */
export interface ArchiveManifest {
  /** The installation whose events these are. */
  readonly installation: string;
  /** By the time of receipt, UTC: `2026-09`. */
  readonly month: string;
  readonly file: string;
  readonly bytes: number;
  /** Of the file as it is stored, hexadecimal. */
  readonly sha256: string;
  readonly events: number;
  /** Decimal integers as text: JSON numbers are not exact beyond 2⁵³. */
  readonly sums: Readonly<Record<Summed, string>>;
}

/** Name of the file with the events of a month. */
export function archiveName(month: string): string {
  return `usage-events-${month}.ndjson.gz`;
}

/** Name of the manifest of a month. */
export function manifestName(month: string): string {
  return `usage-events-${month}.manifest.json`;
}

/** Lines of JSON, and what they come to. */
export interface MonthOfEvents {
  readonly installation: string;
  readonly month: string;
  /** Begins to read: one line an event, in an order that is the same each time. */
  readonly lines: () => Readable;
}

/**
 * Writes the events of a month and their manifest, whole and on the disk, or not at all. A file that is there already
 * with the same content stays; it is what a process left that was killed before the month was dropped.
 *
 * @throws Error where another file has the name: it is never written over
 */
export async function writeArchive(directory: string, content: MonthOfEvents): Promise<ArchiveManifest> {
  const file = archiveName(content.month);
  await mkdir(directory, { recursive: true });
  // Another replica may write the same month after this one was taken for dead: each has a file of its own until it is
  // whole.
  const partial = join(directory, `.${file}.${process.pid}.${Date.now()}.partial`);
  try {
    const totals = new Totals();
    const hash = createHash('sha256');
    await pipeline(
      // Not before there is a pipeline: a stream that fails and that nothing listens to ends the process.
      content.lines(),
      totals.counted(),
      createGzip(),
      hashed(hash),
      createWriteStream(partial, { flags: 'wx', mode: 0o640, flush: true }),
    );
    const sha256 = hash.digest('hex');
    await place(partial, join(directory, file), sha256);
    const { size: bytes } = await stat(join(directory, file));
    const { installation, month } = content;
    const manifest = { installation, month, file, bytes, sha256, events: totals.events, sums: totals.sums() };
    await writeManifest(directory, manifest);
    return manifest;
  } finally {
    await rm(partial, { force: true });
  }
}

/** The manifest of a month. @throws Error where there is none, or it cannot be read */
export async function readManifest(directory: string, month: string): Promise<ArchiveManifest> {
  return JSON.parse(await readFile(join(directory, manifestName(month)), 'utf8')) as ArchiveManifest;
}

/** SHA-256 of a file, hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Gives the finished file its name; a link, unlike a rename, does not replace what is there. */
async function place(partial: string, path: string, sha256: string): Promise<void> {
  try {
    await link(partial, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if ((await sha256Of(path)) !== sha256)
      throw new Error(`${path} exists with other events: move it away, or set another USAGE_ARCHIVE_DIR.`, {
        cause: error,
      });
  }
}

async function writeManifest(directory: string, manifest: ArchiveManifest): Promise<void> {
  const path = join(directory, manifestName(manifest.month));
  const partial = `${path}.${process.pid}.${Date.now()}.partial`;
  await writeFile(partial, `${JSON.stringify(manifest, undefined, 2)}\n`, { mode: 0o640, flush: true });
  await rename(partial, path);
  // The names themselves, which a power cut would lose otherwise.
  const entries = await open(directory, 'r');
  await entries.sync().finally(() => entries.close());
}

function hashed(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

/** Counts and sums what is written, from the very lines. */
class Totals {
  events = 0;
  private readonly sumOf = new Map<Summed, bigint>(SUMMED.map((name) => [name, 0n]));

  sums(): Record<Summed, string> {
    return Object.fromEntries([...this.sumOf].map(([name, sum]) => [name, sum.toString()])) as Record<Summed, string>;
  }

  counted(): (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
    const add = (line: string) => this.add(line);
    return async function* (source) {
      let rest: Buffer = Buffer.alloc(0);
      for await (const chunk of source) {
        const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        const end = bytes.lastIndexOf(0x0a) + 1;
        for (const line of bytes.toString('utf8', 0, Math.max(end - 1, 0)).split('\n')) if (line !== '') add(line);
        rest = bytes.subarray(end);
        yield bytes.subarray(0, end);
      }
      if (rest.length > 0) throw new Error('The last event was cut short.');
    };
  }

  private add(line: string): void {
    const event = JSON.parse(line) as Record<Summed, number>;
    for (const name of SUMMED) this.sumOf.set(name, this.sumOf.get(name)! + BigInt(event[name]));
    this.events += 1;
  }
}
