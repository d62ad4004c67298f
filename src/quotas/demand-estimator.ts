/** About how long an acquired slice should last. */
const HORIZON_MS = 2_000;
/** Over how long a key that is used rarely is remembered: as long as a lease of permits may live. */
const RARE_HORIZON_MS = 15_000;
/** Within this, what is added counts as of the same moment: the hot path computes no exponential. */
const MOMENT_MS = 20;

/** From two draws a second on a flow is sure enough to go on, and may be provided for over a longer time. */
const STEADY_AMOUNT = 4;
const STEADY_FACTOR = 4;
/** A key that was used once in the last eighteen seconds or so is likely enough to be used again. */
const RARE_AMOUNT = 0.3;
const RARE_FACTOR = 1.5;
/** The part of a limit that all replicas together may hold for the longer time, so that none is missing elsewhere. */
const AHEAD_PART = 1 / 64;

/**
 * How much was drawn lately: about the amount of the last two seconds, fading; and that of the last fifteen, for keys
 * that are used too rarely to leave a trace in two.
 */
export class DemandEstimator {
  private amount = 0;
  private rare = 0;
  private atMs = 0;

  add(amount: number, nowMs: number): void {
    const passed = nowMs - this.atMs;
    if (passed >= MOMENT_MS) {
      this.amount *= Math.exp(-passed / HORIZON_MS);
      this.rare *= Math.exp(-passed / RARE_HORIZON_MS);
      this.atMs = nowMs;
    }
    this.amount += amount;
    this.rare += amount;
  }

  recent(nowMs: number): number {
    const passed = nowMs - this.atMs;
    return passed <= 0 ? this.amount : this.amount * Math.exp(-passed / HORIZON_MS);
  }

  /**
   * How many permits of a window of `limit` to ask for ahead, as one of `live` replicas: those of about two seconds.
   * Where they are few against the limit it is those of up to eight seconds for a steady flow, and those of a lease's
   * whole life for a rare one: a key far from its limit asks once for what it would else ask for several times.
   */
  prefetchSize(nowMs: number, limit: number, live: number): number {
    const recent = this.recent(nowMs);
    const few = (limit * AHEAD_PART) / live;
    if (recent >= STEADY_AMOUNT) return Math.floor(Math.max(recent, Math.min(recent * STEADY_FACTOR, few)));
    const rare = this.rare * Math.exp(-Math.max(0, nowMs - this.atMs) / RARE_HORIZON_MS);
    if (rare < RARE_AMOUNT) return Math.floor(recent);
    return Math.floor(Math.max(recent, Math.min(Math.ceil(rare * RARE_FACTOR) + 1, few)));
  }
}

/** Whether so many permits of a window are so few that no replica misses them, even while nobody uses them. */
export function isNegligible(permits: number, limit: number, live: number): boolean {
  return permits * live <= limit * AHEAD_PART;
}
