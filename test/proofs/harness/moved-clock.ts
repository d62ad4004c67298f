import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

const LIBRARIES = '/usr/lib';

/**
 * The environment in which a process sees a wall clock that is `offsetMs` ahead, or null where libfaketime is not
 * installed (Debian: `apt-get install faketime`). Its monotonic clock stays as it is: timers run as ever.
 */
export async function movedClock(offsetMs: number): Promise<Record<string, string> | null> {
  const library = await findLibrary();
  if (library === null) return null;
  return { LD_PRELOAD: library, FAKETIME: `+${Math.round(offsetMs / 1000)}`, FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' };
}

/** The one for programs with threads. */
async function findLibrary(): Promise<string | null> {
  const directories = await readdir(LIBRARIES).catch((): string[] => []);
  for (const directory of directories) {
    const found = await readdir(join(LIBRARIES, directory, 'faketime')).catch((): string[] => []);
    if (found.includes('libfaketimeMT.so.1')) return join(LIBRARIES, directory, 'faketime', 'libfaketimeMT.so.1');
  }
  return null;
}
