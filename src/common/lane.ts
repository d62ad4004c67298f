/** Bounds of a lane. */
export interface LaneLimits {
  /** What runs at the same time. */
  readonly running: number;
  /** What one party may have running of that. */
  readonly runningOfOne: number;
  /** What one party may have waiting. */
  readonly waitingOfOne: number;
}

/** A party has as much waiting as it may, or has waited for too long: its own work keeps it. */
export class LaneFull extends Error {
  constructor() {
    super('Too much of one party waits in this lane.');
    this.name = 'LaneFull';
  }
}

/** Gives the place back. A second call does nothing. */
export type Leave = () => void;

interface Waiting {
  readonly admit: () => void;
}

/**
 * Lets a bounded number of things run at the same time, and of each party fewer. Parties that wait take turns, each in
 * its own order, so that the backlog of one delays no other.
 */
export class Lane {
  private running = 0;
  private readonly runningOf = new Map<string, number>();
  /** Parties in the order of their turns. */
  private readonly waitingOf = new Map<string, Waiting[]>();

  constructor(private readonly limits: LaneLimits) {}

  /** What waits. */
  get size(): number {
    return [...this.waitingOf.values()].reduce((sum, waiting) => sum + waiting.length, 0);
  }

  /**
   * A place for `party`: synchronous if there is one; otherwise a promise.
   *
   * @throws LaneFull when the party has as much waiting as it may, or there is no place within `maxWaitMs`
   */
  enter(party: string, maxWaitMs: number): Leave | Promise<Leave> {
    if (!this.waitingOf.has(party) && this.hasPlaceFor(party)) return this.admit(party);
    return this.wait(party, maxWaitMs);
  }

  private wait(party: string, maxWaitMs: number): Promise<Leave> {
    const queue = this.waitingOf.get(party) ?? [];
    if (queue.length >= this.limits.waitingOfOne) return Promise.reject(new LaneFull());
    this.waitingOf.set(party, queue);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        queue.splice(queue.indexOf(waiting), 1);
        if (queue.length === 0) this.waitingOf.delete(party);
        reject(new LaneFull());
      }, maxWaitMs).unref();
      const waiting = {
        admit: () => {
          clearTimeout(timer);
          resolve(this.admit(party));
        },
      };
      queue.push(waiting);
    });
  }

  private hasPlaceFor(party: string): boolean {
    return this.running < this.limits.running && (this.runningOf.get(party) ?? 0) < this.limits.runningOfOne;
  }

  private admit(party: string): Leave {
    this.running += 1;
    this.runningOf.set(party, (this.runningOf.get(party) ?? 0) + 1);
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      this.leave(party);
    };
  }

  private leave(party: string): void {
    this.running -= 1;
    const left = this.runningOf.get(party)! - 1;
    if (left === 0) this.runningOf.delete(party);
    else this.runningOf.set(party, left);
    this.admitNext();
  }

  private admitNext(): void {
    for (const [party, queue] of this.waitingOf) {
      if (!this.hasPlaceFor(party)) continue;
      this.waitingOf.delete(party);
      const next = queue.shift()!;
      // The party goes to the end of the turns.
      if (queue.length > 0) this.waitingOf.set(party, queue);
      next.admit();
      return;
    }
  }
}
