import { LatchkeyProblem } from './errors.js';
import type { Runtime } from './runtime.js';

/**
 * Renews a reservation at each third of its time to live, until it is told to stop: two answers may be missed before
 * what is held is free again. What has ended is not renewed again, nor what has no slot and shares its amounts.
 */
export class ReservationRenewal {
  private cancel: () => void;
  private isOver = false;

  constructor(
    private readonly runtime: Runtime,
    private readonly ttlSeconds: number,
    private readonly renew: () => Promise<unknown>,
  ) {
    this.cancel = this.schedule();
  }

  stop(): void {
    this.isOver = true;
    this.cancel();
  }

  private schedule(): () => void {
    return this.runtime.after((this.ttlSeconds * 1000) / 3, () => void this.run());
  }

  private async run(): Promise<void> {
    try {
      await this.renew();
    } catch (error) {
      // Any other failure may pass before the time to live is over.
      if (error instanceof LatchkeyProblem && error.status < 500 && error.status !== 429) return;
    }
    if (!this.isOver) this.cancel = this.schedule();
  }
}
