import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Periodic } from './periodic.js';

const EVERY_MS = 3_600_000;
/** Rows a statement deletes: it holds few locks, and not for long. */
const CHUNK = 5_000;

/** Work that is done after the start and each hour from then on, one round after the other. Any replica may do it. */
export abstract class Housekeeping implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly rounds = new Periodic(EVERY_MS, () => this.run());
  private isStopping = false;

  /** @param failure what a failed round is called in the log */
  protected constructor(
    protected readonly logger: Logger,
    private readonly failure: string,
  ) {}

  onApplicationBootstrap(): void {
    void this.rounds.start().run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    await this.rounds.stop();
  }

  /** One round; a failure is logged, and the next round tries again. */
  async run(): Promise<void> {
    try {
      await this.round();
    } catch (error) {
      this.logger.warn({ msg: `${this.failure}; it is tried again in an hour`, cause: (error as Error).message });
    }
  }

  protected abstract round(): Promise<void>;

  /**
   * Repeats a statement that deletes some rows, until it finds fewer than it may delete, or the process ends.
   *
   * @param deleteSome deletes up to so many rows, and gives how many it found
   */
  protected async deleteAll(deleteSome: (rows: number) => Promise<number>): Promise<void> {
    for (let deleted = CHUNK; deleted === CHUNK && !this.isStopping;) deleted = await deleteSome(CHUNK);
  }
}
