import { LatchkeyProblem } from './errors.js';
import type { Runtime } from './runtime.js';

/** What a renewal is answered that no later one will change: not what a proxy says while the server is away. */
const FINAL: ReadonlySet<number> = new Set([400, 401, 403, 409]);

/**
 * Renews a reservation at each third of its time to live, until it is told to stop: two answers may be missed before
 * what is held is free again. Each is waited for until the next is due, so that a slow answer does not make it late.
 * What has ended is not renewed again, nor what has no slot and shares its amounts, nor what the service may not renew.
 */
export class ReservationRenewal {
  private cancel: () => void;
  private isOver = false;

  constructor(
    private readonly runtime: Runtime,
    private readonly ttlSeconds: number,
    /** Gives up after `timeoutMs`. */
    private readonly renew: (timeoutMs: number) => Promise<unknown>,
  ) {
    this.cancel = this.schedule(this.intervalMs);
  }

  stop(): void {
    this.isOver = true;
    this.cancel();
  }

  private get intervalMs(): number {
    return (this.ttlSeconds * 1000) / 3;
  }

  private schedule(delayMs: number): () => void {
    return this.runtime.after(delayMs, () => void this.run());
  }

  private async run(): Promise<void> {
    const sentMs = this.runtime.now();
    try {
      await this.renew(this.intervalMs);
    } catch (error) {
      // Any other failure may pass before the time to live is over.
      if (error instanceof LatchkeyProblem && FINAL.has(error.status)) return;
    }
    if (this.isOver) return;
    this.cancel = this.schedule(Math.max(0, sentMs + this.intervalMs - this.runtime.now()));
  }
}
