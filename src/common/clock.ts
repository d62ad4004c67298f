import { Injectable } from '@nestjs/common';

/**
 * Time as services see it: a class, so that tests can pass one that stands still or jumps.
 *
 * The time of day is the database's, as the change feed has read it last, and goes on by the monotonic clock: a change
 * gets the same instants on every replica, whatever the clock of its host says.
 */
@Injectable()
export class Clock {
  private offsetMs: number | null = null;

  /** The time of day. Before the first reading of the database's clock, it is the host's. Never used for deadlines. */
  now(): Date {
    return new Date(this.offsetMs === null ? this.wallMs() : this.offsetMs + this.monotonicMs());
  }

  /** The host's own clock, Unix milliseconds: to be compared with the monotonic one, and with the database's. */
  wallMs(): number {
    return Date.now();
  }

  /** Milliseconds that only grow, from an arbitrary origin. */
  monotonicMs(): number {
    return performance.now();
  }

  /** Runs something once, `delayMs` from now at the earliest; keeps no process alive. */
  after(delayMs: number, run: () => void): void {
    setTimeout(run, delayMs).unref();
  }

  /** Runs something once, as soon as what has arrived by now has been looked at. */
  soon(run: () => void): void {
    setImmediate(run);
  }

  /** The database said `databaseNowMs` to a question that was sent and answered at these monotonic instants. */
  observe(databaseNowMs: number, sentAtMs: number, answeredAtMs: number): void {
    this.offsetMs = databaseNowMs - (sentAtMs + answeredAtMs) / 2;
  }

  /** Milliseconds by which the host's clock is ahead of the database's; null before the first reading. */
  aheadMs(): number | null {
    return this.offsetMs === null ? null : this.wallMs() - this.offsetMs - this.monotonicMs();
  }
}
