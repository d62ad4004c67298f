/** About how long an acquired slice should last. */
const HORIZON_MS = 2_000;
/** Over how long a key that is used rarely is remembered: as long as a lease of permits may live. */
const RARE_HORIZON_MS = 15_000;
/** Over how long what a key uses is remembered for its standing leases: as long as they live. */
const LONG_HORIZON_MS = 3_600_000;
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
  private long = 0;
  private atMs = 0;

  add(amount: number, nowMs: number): void {
    const passed = nowMs - this.atMs;
    if (passed >= MOMENT_MS) {
      this.amount *= Math.exp(-passed / HORIZON_MS);
      this.rare *= Math.exp(-passed / RARE_HORIZON_MS);
      this.long *= Math.exp(-passed / LONG_HORIZON_MS);
      this.atMs = nowMs;
    }
    this.amount += amount;
    this.rare += amount;
    this.long += amount;
  }

  /** What about the last two seconds drew, as of the last draw. */
  get latest(): number {
    return this.amount;
  }

  recent(nowMs: number): number {
    const passed = nowMs - this.atMs;
    return passed <= 0 ? this.amount : this.amount * Math.exp(-passed / HORIZON_MS);
  }

  /**
   * How many permits to ask for beyond `need`, so that the sum is what is wanted. Where `few` may stand for long, a key
   * that is not hot gets as many as it has drawn within such a life, and one. So a replica never holds more than it has
   * given out, but for one: it loses no more by its end.
   */
  want(need: number, nowMs: number, limit: number, few: number, live: number): number {
    if (few === 0 || this.recent(nowMs) >= STEADY_AMOUNT) return this.prefetchSize(nowMs, limit, live);
    const drawn = this.long * Math.exp(-Math.max(0, nowMs - this.atMs) / LONG_HORIZON_MS);
    return need + Math.min(few, 1 + Math.floor(drawn));
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

/** A permit may stand where it is a twentieth of the limit for each further replica. */
const ONE_PART = 20;

/** How many permits of a window one replica may hold for long, so that none is missing elsewhere; 0: none. */
export function fewPermits(limit: number, live: number): number {
  const few = Math.floor((limit * AHEAD_PART) / live);
  return few > 0 ? few : limit >= ONE_PART * (live - 1) ? 1 : 0;
}

/** Whether so many permits of a window are so few that no replica misses them, even while nobody uses them. */
export function isNegligible(permits: number, limit: number, live: number): boolean {
  return permits * live <= limit * AHEAD_PART;
}
