import type { Conditions } from '../../common/conditions.js';
import type { Meters } from '../../common/meters.js';
import type { FeedListener } from './feed-listener.js';

/** Beyond it NTP does not work on one of the two machines. */
const TOLERANCE_MS = 1_000;
/** The answer of a slower poll says too little about the instant it was given. */
const MAX_ROUND_TRIP_MS = 500;

/** Compares this machine's wall clock with the database's, with every poll of the change feed. */
export class ClockOffset implements FeedListener {
  private offsetMs = 0;

  constructor(
    private readonly wallMs: () => number,
    conditions: Conditions,
    meters: Meters,
  ) {
    meters.gauge(
      'latchkey_database_clock_offset_seconds',
      'Wall clock of this machine minus that of the database.',
      () => this.offsetMs / 1000,
    );
    conditions.register(
      'clock',
      'the clocks of this machine and of the database agree within a second',
      () =>
        Math.abs(this.offsetMs) > TOLERANCE_MS
          ? `The clock of this machine is ${this.describe()} the database's: look at NTP on both.`
          : null,
      'warn',
    );
  }

  onPolled(sentAtMs: number, answeredAtMs: number, databaseNowMs: number): void {
    const roundTripMs = answeredAtMs - sentAtMs;
    if (roundTripMs <= MAX_ROUND_TRIP_MS) this.offsetMs = this.wallMs() - (databaseNowMs + roundTripMs / 2);
  }

  onKeyChanged(): void {}

  onEpochChanged(): void {}

  onSuspended(): void {}

  /** In whole seconds, so that the sentence does not change with every look. */
  private describe(): string {
    const seconds = Math.round(Math.abs(this.offsetMs) / 1000);
    return `${seconds} s ${this.offsetMs > 0 ? 'ahead of' : 'behind'}`;
  }
}
