import { open, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { type CopiedEvent, eventOfLine } from './copied-event.js';
import type { ChainTable } from '../chain-tables.js';

/** The last entry of a chain that a copy has. */
export interface CopiedEntry {
  readonly seq: string;
  /** Hexadecimal. */
  readonly hash: string;
}

/** Up to where a copy has each chain. */
export interface CopyPlace extends Readonly<Record<ChainTable, CopiedEntry>> {
  /** Size of the file for which this was noted: what lies behind was written without a note. */
  readonly bytes: number;
}

/** Bytes of one batch. What a writer that was ended has written without a note of it lies within twice as many. */
export const MAX_BATCH_BYTES = 512 * 1024;
const TAIL_BYTES = 2 * MAX_BATCH_BYTES;
const NOTHING: CopiedEntry = { seq: '0', hash: '' };

/**
 * Up to where the copy in `path` goes: what the note beside it says, or what its last lines say where those are
 * further. The note is what is left when the file was rotated away.
 */
export async function placeOfCopy(path: string): Promise<CopyPlace> {
  const note = await readNote(path);
  const place: { -readonly [Member in keyof CopyPlace]: CopyPlace[Member] } = { ...note };
  for (const line of (await linesBehind(path, note.bytes)).split('\n')) {
    const event = eventOfLine(line);
    if (event !== null && BigInt(event.record.seq) > BigInt(place[event.table].seq))
      place[event.table] = entryOf(event);
  }
  return place;
}

/** Notes up to where a copy goes, whole or not at all. */
export async function notePlace(path: string, place: CopyPlace): Promise<void> {
  const { size } = await stat(path);
  await writeFile(`${noteOf(path)}.new`, `${JSON.stringify({ ...place, bytes: size })}\n`, {
    mode: 0o640,
    flush: true,
  });
  await rename(`${noteOf(path)}.new`, noteOf(path));
}

function noteOf(path: string): string {
  return `${path}.position`;
}

function entryOf({ link }: CopiedEvent): CopiedEntry {
  return { seq: link.seq, hash: link.hash.toString('hex') };
}

async function readNote(path: string): Promise<CopyPlace> {
  const text = await readFile(noteOf(path), 'utf8').catch(absent);
  if (text === null) return { audit_event: NOTHING, audit_read: NOTHING, bytes: 0 };
  try {
    return JSON.parse(text) as CopyPlace;
  } catch {
    throw new Error(`${noteOf(path)} is damaged. Remove it: the copy then goes on where the file ends.`);
  }
}

/**
 * The whole lines of a file behind `noted` bytes, or its last ones where it is another file than the one that was
 * noted. Asked before it is opened: a pipe would block a thread of ours.
 */
async function linesBehind(path: string, noted: number): Promise<string> {
  const found = await stat(path).catch(absent);
  if (found === null) return '';
  if (!found.isFile()) throw new Error(`${path} is no regular file: its end cannot be read.`);
  const bytes = Math.min(found.size >= noted ? found.size - noted : found.size, TAIL_BYTES);
  if (bytes === 0) return '';
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, found.size - bytes);
    const text = buffer.toString('utf8', 0, bytesRead);
    return text.slice(0, text.lastIndexOf('\n') + 1);
  } finally {
    await file.close();
  }
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
