import { open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { claimOf } from './checkpoint-file.js';

/** Read from the end, and then ever more, until a line is found. */
const FIRST_BYTES = 64 * 1024;
const MAX_BYTES = 16 * 1024 * 1024;
/** How long the storage may take, in milliseconds. */
const MAX_READ_MS = 5_000;

/**
 * The newest line of a checkpoint file that `opened` takes for one; null where there is no file, or no such line in its
 * last 16 MiB.
 *
 * @param written what is given where the path is no regular file: such a one cannot be read from its end
 * @throws Error when the file is there and cannot be read, or its storage does not answer within 5 s
 */
export async function newestLine<T>(
  path: string,
  opened: (claim: unknown) => T | null,
  written: T | null = null,
): Promise<T | null> {
  const silence = new AbortController();
  const timeout = sleep(MAX_READ_MS, null, { signal: silence.signal, ref: false }).then(() => {
    throw new Error(`The storage of ${path} does not answer.`);
  });
  try {
    return await Promise.race([readNewest(path, opened, written), timeout]);
  } finally {
    timeout.catch(() => undefined);
    silence.abort();
  }
}

async function readNewest<T>(path: string, opened: (claim: unknown) => T | null, written: T | null): Promise<T | null> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  // Asked before it is opened: a pipe that has no writer would block a thread of ours for ever.
  if (found?.isFile() !== true) return found === null ? null : written;
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    for (let bytes = Math.min(FIRST_BYTES, size); ; bytes = Math.min(bytes * 8, size)) {
      const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, size - bytes);
      const line = newestIn(buffer.toString('utf8'), opened);
      if (line !== null || bytes === size || bytes >= MAX_BYTES) return line;
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
