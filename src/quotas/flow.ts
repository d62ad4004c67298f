/** About how long an acquired slice should last. */
const HORIZON_MS = 2_000;
/** Within this, what is added counts as of the same moment: the hot path computes no exponential. */
const MOMENT_MS = 20;

/** From two draws a second on a flow is sure enough to go on, and may be provided for over a longer time. */
const STEADY_AMOUNT = 4;
const STEADY_FACTOR = 4;
/** The part of a limit that all replicas together may hold for the longer time, so that none is missing elsewhere. */
const AHEAD_PART = 1 / 64;

/** How much was drawn lately: about the amount of the last two seconds, fading. */
export class Flow {
  private amount = 0;
  private atMs = 0;

  add(amount: number, nowMs: number): void {
    if (nowMs - this.atMs < MOMENT_MS) {
      this.amount += amount;
      return;
    }
    this.amount = this.recent(nowMs) + amount;
    this.atMs = nowMs;
  }

  recent(nowMs: number): number {
    const passed = nowMs - this.atMs;
    return passed <= 0 ? this.amount : this.amount * Math.exp(-passed / HORIZON_MS);
  }

  /**
   * How many permits of a window of `limit` to ask for ahead, as one of `live` replicas: those of about two seconds; of
   * up to eight, half a lease's life, where the flow is steady and they are few against the limit. A busy key far from
   * its limit thus asks once for what it would else ask for four times.
   */
  permitsAhead(nowMs: number, limit: number, live: number): number {
    const recent = this.recent(nowMs);
    if (recent < STEADY_AMOUNT) return Math.floor(recent);
    return Math.floor(Math.max(recent, Math.min(recent * STEADY_FACTOR, (limit * AHEAD_PART) / live)));
  }
}
