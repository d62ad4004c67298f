import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { join } from 'node:path';
import { type CopiedEvent, eventOfLine } from '../copies/copied-event.js';
import { summaryName } from './segment-summary.js';

/**
 * The entries in a segment, in the order of its lines; null for a line that is no entry.
 *
 * @throws Error when the file cannot be read or is not compressed as it was
 */
export async function* entriesIn(path: string): AsyncGenerator<CopiedEvent | null> {
  const file = createReadStream(path);
  const plain = createGunzip();
  // An error of the one is no error of the other, and none may be left without a listener.
  file.once('error', (error) => plain.destroy(error));
  try {
    for await (const line of createInterface({ input: file.pipe(plain), crlfDelay: Infinity })) yield eventOfLine(line);
  } finally {
    file.destroy();
    plain.destroy();
  }
  // `readline` ends where its input fails.
  if (plain.errored !== null) throw plain.errored;
}

/** What lies beside a segment as its summary; null where nothing does. @throws Error when it cannot be read */
export async function readSummary(directory: string, file: string): Promise<unknown> {
  const path = join(directory, summaryName(file));
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return {};
  }
}
