/** Two readings may differ by this much in what time they say has passed … */
const TOLERANCE_MS = 1_000;
/** … and by this part of it, which is what honest oscillators and a slewing NTP may drift. */
const DRIFT = 0.001;
/** … but for no more than the longest time that a lease is held: a watch that has lasted for weeks sees as well. */
const LONGEST_HOLD_MS = 24 * 3_600_000;
/** A longer silence ends the watch: nobody saw what the clock did in it. */
const LONGEST_GAP_MS = 3_000;

/**
 * Watches the store's clock from one replica. A janitor closes a lease only if the watch has lasted for the whole
 * of its hold: otherwise a stepped clock, or an outage in which nobody could settle, would be charged to the budget.
 */
export class ClockWatch {
  private startMono = 0;
  private startStore = 0;
  private lastMono = 0;
  private lastRoundTripMs = 0;
  private lastStore = 0;
  private watching = false;

  /**
   * Tells one poll: the monotonic time before it was sent and after its answer, and the store's clock in it.
   * A gap, a slow poll or an uneven clock starts the watch anew. Gives whether the clock has run evenly since the watch
   * began and since the poll before, also over a gap: a step shows between two polls, a creeping clock over many.
   */
  observe(sentMs: number, receivedMs: number, storeMs: number): boolean {
    const passed = sentMs - this.startMono;
    const roundTripMs = receivedMs - sentMs;
    const sinceLast = sentMs - this.lastMono;
    const isEven =
      !this.watching ||
      (isWithin(storeMs - this.startStore, passed, roundTripMs) &&
        isWithin(storeMs - this.lastStore, sinceLast, roundTripMs + this.lastRoundTripMs));
    if (!this.watching || receivedMs - this.lastMono > LONGEST_GAP_MS || !isEven) {
      this.watching = true;
      this.startMono = receivedMs;
      this.startStore = storeMs;
    }
    this.lastMono = sentMs;
    this.lastRoundTripMs = roundTripMs;
    this.lastStore = storeMs;
    return isEven;
  }

  /** What may be closed now, or null while the last poll is too old or no time has been watched. */
  closeOrder(nowMs: number, limit: number): { beforeMs: number; watchedMs: number; limit: number } | null {
    if (!this.watching || nowMs - this.lastMono > LONGEST_GAP_MS) return null;
    const watchedMs = Math.min(this.lastMono - this.startMono, this.lastStore - this.startStore);
    return watchedMs > 0 ? { beforeMs: this.lastStore, watchedMs, limit } : null;
  }
}

/** Whether what the store's clock says has passed is what our own says, but for what both may err. */
function isWithin(storePassedMs: number, passedMs: number, roundTripsMs: number): boolean {
  const drift = DRIFT * Math.min(passedMs, LONGEST_HOLD_MS);
  return Math.abs(storePassedMs - passedMs) <= TOLERANCE_MS + drift + roundTripsMs;
}
