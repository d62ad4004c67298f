import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { replaceFile, writeCompressed } from '../../common/whole-file.js';

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
  const { installation, month } = content;
  const file = archiveName(month);
  let totals = new Totals();
  const counted = () => (totals = new Totals()).counted(content.lines());
  const { bytes, sha256 } = await writeCompressed(directory, file, counted, ELSEWHERE);
  const manifest = { installation, month, file, bytes, sha256, events: totals.events, sums: totals.sums() };
  await replaceFile(join(directory, manifestName(month)), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return manifest;
}

const ELSEWHERE = 'move it away, or set another USAGE_ARCHIVE_DIR.';

/** The manifest of a month. @throws Error where there is none, or it cannot be read */
export async function readManifest(directory: string, month: string): Promise<ArchiveManifest> {
  return JSON.parse(await readFile(join(directory, manifestName(month)), 'utf8')) as ArchiveManifest;
}

/** Counts and sums what is written, from the very lines. */
class Totals {
  events = 0;
  private readonly sumOf = new Map<Summed, bigint>(SUMMED.map((name) => [name, 0n]));

  sums(): Record<Summed, string> {
    return Object.fromEntries([...this.sumOf].map(([name, sum]) => [name, sum.toString()])) as Record<Summed, string>;
  }

  /** Gives what `source` gives, in whole lines. */
  async *counted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of source) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const end = bytes.lastIndexOf(0x0a) + 1;
      for (const line of bytes.toString('utf8', 0, Math.max(end - 1, 0)).split('\n')) if (line !== '') this.add(line);
      rest = bytes.subarray(end);
      yield bytes.subarray(0, end);
    }
    if (rest.length > 0) throw new Error('The last event was cut short.');
  }

  private add(line: string): void {
    const event = JSON.parse(line) as Record<Summed, number>;
    for (const name of SUMMED) this.sumOf.set(name, this.sumOf.get(name)! + BigInt(event[name]));
    this.events += 1;
  }
}
