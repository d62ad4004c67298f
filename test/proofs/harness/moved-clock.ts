import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LIBRARIES = '/usr/lib';
/** For an experiment that is not run without. */
export const NO_MOVED_CLOCK = 'libfaketime is not installed (Debian: apt-get install faketime)';

/**
 * The environment in which a process sees a wall clock that is `offsetMs` ahead, or null where libfaketime is not
 * installed (Debian: `apt-get install faketime`). Its monotonic clock stays as it is: timers run as ever.
 */
export async function movedClock(offsetMs: number): Promise<Record<string, string> | null> {
  const library = await findLibrary();
  if (library === null) return null;
  return { LD_PRELOAD: library, FAKETIME: `+${Math.round(offsetMs / 1000)}`, FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' };
}

/** A wall clock that several processes share and that steps while they run. */
export class SteppedClock {
  /** Of each process that shares it. */
  readonly environment: Readonly<Record<string, string>>;
  /** How far it is ahead, in milliseconds. */
  aheadMs = 0;

  private constructor(
    private readonly directory: string,
    library: Readonly<Record<string, string>>,
  ) {
    const { FAKETIME: _, ...others } = library;
    this.environment = { ...others, FAKETIME_TIMESTAMP_FILE: this.file, FAKETIME_NO_CACHE: '1' };
  }

  /** Null where libfaketime is not installed. */
  static async start(): Promise<SteppedClock | null> {
    const library = await movedClock(0);
    if (library === null) return null;
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-clock-'));
    // The account PostgreSQL runs as must get in.
    await chmod(directory, 0o755);
    const clock = new SteppedClock(directory, library);
    await clock.stepTo(0);
    return clock;
  }

  /** So many seconds ahead of the machine's clock, for everybody at once. */
  async stepTo(seconds: number): Promise<void> {
    await writeFile(this.file, `+${seconds}\n`);
    this.aheadMs = seconds * 1_000;
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  private get file(): string {
    return join(this.directory, 'clock');
  }
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
