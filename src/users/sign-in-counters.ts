/** Failures are counted this long, from the first one on. */
export const WINDOW_MS = 15 * 60_000;

/** A window that ends later than the known one by more than this is the next one. */
const LATER_MS = 60_000;

/**
 * Counters remembered at once: some 20 MB at most. The oldest is forgotten for a new one; the database keeps its count.
 */
const MAX_COUNTERS = 50_000;

/** Something that has a number of failures, and how many of them a window may have. */
export interface Limit {
  readonly counter: string;
  readonly failures: number;
}

/** A counter as the database has it. */
export interface StoredCount {
  readonly counter: string;
  readonly failures: number;
  /** Until its window ends. */
  readonly remainingMs: number;
}

interface Count {
  /** As the database knew it last, with what this replica has told of since. */
  stored: number;
  /** Failures here that the database does not know yet. */
  untold: number;
  /** Told to the database, and not confirmed yet. */
  telling: number;
  /** Tries that are being decided. */
  inFlight: number;
  endsAtMs: number;
}

/**
 * The failed tries that one replica knows of: its own, and those of the others as it has read them last. It knows
 * neither clock nor database. A try is counted from its beginning, so that many at the same time do not slip through.
 */
export class SignInCounters {
  /** In order of first use. */
  private readonly counts = new Map<string, Count>();

  constructor(private readonly maxCounters = MAX_COUNTERS) {}

  get size(): number {
    return this.counts.size;
  }

  /** Milliseconds until one of `limits` admits a try again, by what is known here; null: all of them do. */
  refusal(limits: readonly Limit[], nowMs: number): number | null {
    const full = limits.flatMap(({ counter, failures }) => {
      const count = this.current(counter, nowMs);
      return count !== null && totalOf(count) >= failures ? [Math.max(1, count.endsAtMs - nowMs)] : [];
    });
    return full.length === 0 ? null : Math.max(...full);
  }

  /** Counts a try that begins. `end` must follow. */
  begin(limits: readonly Limit[], nowMs: number): void {
    for (const { counter } of limits) this.at(counter, nowMs).inFlight += 1;
  }

  /** How a try ended: one that failed stays counted. */
  end(limits: readonly Limit[], hasFailed: boolean, nowMs: number): void {
    for (const { counter } of limits) {
      const count = this.at(counter, nowMs);
      count.inFlight = Math.max(0, count.inFlight - 1);
      if (hasFailed) count.untold += 1;
    }
  }

  /**
   * Takes over what the database had when it was asked. What is being told may be in it or not, and what was told may
   * have been confirmed meanwhile: no failure is counted twice, and none that is known is forgotten.
   */
  learn(stored: readonly StoredCount[], nowMs: number): void {
    for (const { counter, failures, remainingMs } of stored) {
      const count = this.at(counter, nowMs);
      const isNextWindow = nowMs + remainingMs > count.endsAtMs + LATER_MS;
      const others = Math.max(0, failures - count.telling);
      count.stored = isNextWindow ? others : Math.max(count.stored, others);
      count.endsAtMs = nowMs + remainingMs;
    }
  }

  /** At most `max` counters with what the database does not know of them. `told` or `notTold` must follow. */
  tell(max: number): Map<string, number> {
    const batch = new Map<string, number>();
    for (const [counter, count] of this.counts) {
      if (count.untold === 0 || count.telling > 0) continue;
      batch.set(counter, count.untold);
      count.telling = count.untold;
      count.untold = 0;
      if (batch.size === max) break;
    }
    return batch;
  }

  /** The database has taken `batch`, and has these counts now. */
  told(batch: ReadonlyMap<string, number>, stored: readonly StoredCount[], nowMs: number): void {
    for (const counter of batch.keys()) {
      const count = this.counts.get(counter);
      if (count) count.telling = 0;
    }
    for (const { counter, failures, remainingMs } of stored) {
      Object.assign(this.at(counter, nowMs), { stored: failures, endsAtMs: nowMs + remainingMs });
    }
  }

  /** The database has not taken `batch`: it is told again. */
  notTold(batch: ReadonlyMap<string, number>): void {
    for (const counter of batch.keys()) {
      const count = this.counts.get(counter);
      if (!count) continue;
      count.untold += count.telling;
      count.telling = 0;
    }
  }

  get hasUntold(): boolean {
    for (const { untold } of this.counts.values()) if (untold > 0) return true;
    return false;
  }

  private at(counter: string, nowMs: number): Count {
    const known = this.current(counter, nowMs);
    if (known !== null) return known;
    this.makeRoom();
    const count = { stored: 0, untold: 0, telling: 0, inFlight: 0, endsAtMs: nowMs + WINDOW_MS };
    this.counts.set(counter, count);
    return count;
  }

  /** A counter whose window has not ended; null: nothing is counted there. */
  private current(counter: string, nowMs: number): Count | null {
    const count = this.counts.get(counter);
    if (count === undefined) return null;
    if (count.endsAtMs > nowMs) return count;
    if (count.inFlight === 0 && count.telling === 0) {
      this.counts.delete(counter);
      return null;
    }
    // Tries that are under way belong to the next window.
    Object.assign(count, { stored: 0, untold: 0, endsAtMs: nowMs + WINDOW_MS });
    return count;
  }

  private makeRoom(): void {
    if (this.counts.size < this.maxCounters) return;
    const [oldest] = this.counts.keys();
    if (oldest !== undefined) this.counts.delete(oldest);
  }
}

function totalOf({ stored, untold, telling, inFlight }: Count): number {
  return stored + untold + telling + inFlight;
}
