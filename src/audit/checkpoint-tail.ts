import { open } from 'node:fs/promises';
import { claimOf } from './checkpoint-file.js';

/** Read from the end, and then ever more, until a line is found. */
const FIRST_BYTES = 64 * 1024;
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The newest line of a checkpoint file that `opened` takes for one; null where there is no file, or no such line in its
 * last 16 MiB. What is no regular file cannot be read from its end and gives null.
 *
 * @throws Error when the file is there and cannot be read
 */
export async function newestLine<T>(path: string, opened: (claim: unknown) => T | null): Promise<T | null> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const stats = await file.stat();
    if (!stats.isFile()) return null;
    for (let bytes = Math.min(FIRST_BYTES, stats.size); ; bytes = Math.min(bytes * 8, stats.size)) {
      const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, stats.size - bytes);
      const found = newestIn(buffer.toString('utf8'), opened);
      if (found !== null || bytes === stats.size || bytes >= MAX_BYTES) return found;
    }
  } finally {
    await file.close();
  }
}

function newestIn<T>(text: string, opened: (claim: unknown) => T | null): T | null {
  for (const line of text.split('\n').reverse()) {
    const claim = claimOf(line);
    const found = claim === null ? null : opened(claim);
    if (found !== null) return found;
  }
  return null;
}
