import { execFile } from 'node:child_process';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A volume of a few megabytes, which can be filled and emptied. Needs root. */
export class SmallVolume {
  private constructor(readonly path: string) {}

  /** @returns null where nothing can be mounted. */
  static async mount(megabytes: number): Promise<SmallVolume | null> {
    const path = await mkdtemp(join(tmpdir(), 'latchkey-volume-'));
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'latchkey-proof', path]);
      return new SmallVolume(path);
    } catch {
      await rm(path, { recursive: true, force: true });
      return null;
    }
  }

  /** Another file takes all room but `leftBytes`. */
  async fill(leftBytes = 0): Promise<void> {
    const { bavail, bsize } = await statfs(this.path);
    const filler = Buffer.alloc(Math.max(0, bavail * bsize - leftBytes));
    // Others write meanwhile: then there is room for less.
    await writeFile(join(this.path, 'filler'), filler).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOSPC') throw error;
    });
  }

  async free(): Promise<void> {
    await rm(join(this.path, 'filler'), { force: true });
  }

  async unmount(): Promise<void> {
    await run('umount', ['-l', this.path]).catch(() => undefined);
    await rm(this.path, { recursive: true, force: true });
  }
}
