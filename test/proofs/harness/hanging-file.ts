import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf, type Replica } from './cluster.js';

const LOOK_EVERY_MS = 10;

/**
 * A file whose file system stops to answer: each process of a replica that writes to it is stopped (SIGSTOP) as soon as
 * it is seen, as the kernel would do with one that waits for a disk of another machine.
 */
export class HangingFile {
  /** Writing processes that were stopped. */
  readonly stopped = new Set<number>();
  private isHanging = false;
  private isOver = false;
  private watching: Promise<void> = Promise.resolve();

  private constructor(private readonly directory: string) {}

  static async create(): Promise<HangingFile> {
    return new HangingFile(await mkdtemp(join(tmpdir(), 'latchkey-hanging-')));
  }

  get path(): string {
    return join(this.directory, 'checkpoints');
  }

  /** From now on nothing that `replicas` write to it comes to an end. */
  hang(replicas: readonly Replica[]): void {
    if (this.isHanging) return;
    this.isHanging = true;
    this.watching = this.watch(replicas);
  }

  async remove(): Promise<void> {
    this.isOver = true;
    await this.watching;
    // Those whose replica has not ended them.
    for (const pid of this.stopped) await this.signal(pid, 'SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }

  private async watch(replicas: readonly Replica[]): Promise<void> {
    while (!this.isOver) {
      for (const replica of replicas.filter(({ isRunning }) => isRunning)) {
        const children = await childrenOf(replica.pid).catch(() => []);
        for (const pid of children.filter((one) => !this.stopped.has(one)))
          if (await this.signal(pid, 'SIGSTOP')) this.stopped.add(pid);
      }
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Whether it was sent: the number may be that of another process by now. */
  private async signal(pid: number, signal: NodeJS.Signals): Promise<boolean> {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!command.includes(this.path)) return false;
    try {
      return process.kill(pid, signal);
    } catch {
      return false;
    }
  }
}
