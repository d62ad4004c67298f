/**
 * Work that is done again and again, `everyMs` apart, one round at a time: a round that is due while another is under
 * way is left out. It keeps no process alive. Work that may fail handles its failures itself.
 */
export class Periodic {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | null = null;

  constructor(
    private readonly everyMs: number,
    private readonly work: () => unknown,
  ) {}

  /** The first round begins `everyMs` from now. */
  start(): this {
    this.timer ??= setInterval(() => {
      if (this.round === null) void this.run();
    }, this.everyMs).unref();
    return this;
  }

  /** A round now; the one that is under way, if there is one. */
  run(): Promise<void> {
    this.round ??= this.begin().finally(() => (this.round = null));
    return this.round;
  }

  /** No round begins by itself any more, from the call on; resolves when the one that is under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await this.round;
  }

  /** What throws at once fails like what fails later. */
  private async begin(): Promise<void> {
    await this.work();
  }
}
