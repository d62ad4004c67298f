import { chmod, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
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
  return {
    LD_PRELOAD: library,
    FAKETIME: `+${Math.round(offsetMs / 1000)}`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

/** Wall clocks of several processes that jump while they run; each begins right. */
export class JumpingClocks {
  private constructor(
    private readonly directory: string,
    private readonly library: Readonly<Record<string, string>>,
  ) {}

  /** Null where libfaketime is not installed. */
  static async prepare(names: readonly string[]): Promise<JumpingClocks | null> {
    const moved = await movedClock(0);
    if (moved === null) return null;
    const { FAKETIME: _, ...library } = moved;
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-clocks-'));
    // PostgreSQL runs under an account of its own.
    await chmod(directory, 0o755);
    const clocks = new JumpingClocks(directory, library);
    for (const name of names) await clocks.jump(name, 0);
    return clocks;
  }

  /** The environment of the process that has the clock `name`. */
  environment(name: string): Record<string, string> {
    return { ...this.library, FAKETIME_TIMESTAMP_FILE: join(this.directory, name), FAKETIME_NO_CACHE: '1' };
  }

  /** From the next look at the clock on it is `offsetSeconds` from what is right. */
  async jump(name: string, offsetSeconds: number): Promise<void> {
    const path = join(this.directory, name);
    // Processes read the file at each look at the clock: an empty one would be the right time for an instant.
    await writeFile(`${path}.new`, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}\n`);
    await rename(`${path}.new`, path);
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** A wall clock that several processes share and that steps while they run. */
export class SteppedClock {
  /** Of each process that shares it. */
  readonly environment: Readonly<Record<string, string>>;
  /** How far it is ahead, in milliseconds. */
  aheadMs = 0;

  private constructor(private readonly clocks: JumpingClocks) {
    this.environment = clocks.environment(SHARED);
  }

  /** Null where libfaketime is not installed. */
  static async start(): Promise<SteppedClock | null> {
    const clocks = await JumpingClocks.prepare([SHARED]);
    return clocks === null ? null : new SteppedClock(clocks);
  }

  /** So many seconds ahead of the machine's clock, for all of them at once. */
  async stepTo(seconds: number): Promise<void> {
    await this.clocks.jump(SHARED, seconds);
    this.aheadMs = seconds * 1_000;
  }

  remove(): Promise<void> {
    return this.clocks.remove();
  }
}

/** The name of the one clock that all share. */
const SHARED = 'clock';

/** The one for programs with threads. */
async function findLibrary(): Promise<string | null> {
  const directories = await readdir(LIBRARIES).catch((): string[] => []);
  for (const directory of directories) {
    const found = await readdir(join(LIBRARIES, directory, 'faketime')).catch((): string[] => []);
    if (found.includes('libfaketimeMT.so.1')) return join(LIBRARIES, directory, 'faketime', 'libfaketimeMT.so.1');
  }
  return null;
}
