import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from './clock.js';

/** Time as a group commit sees it: given from outside, so that a simulation can own it. */
export type CommitClock = Pick<Clock, 'monotonicMs' | 'after' | 'soon'>;

/** What waits for a commit, in an order of its own: callers in turns, or the urgent first. */
export interface WaitingItems<Item> {
  /** How many wait. */
  readonly size: number;
  /** Whether a batch is full, and since when the first item that may go has waited; null: none may go now. */
  ready(): { readonly isFull: boolean; readonly sinceMs: number } | null;
  /** The next batch; not empty where `ready` gave something. */
  take(nowMs: number): readonly Item[];
  /** The commit of this batch has ended, well or not. */
  ended?(batch: readonly Item[]): void;
}

/** When batches begin. */
export interface GroupCommitLimits {
  /** How long a batch that is not full waits for company, in milliseconds. */
  readonly maxWaitMs: number;
  /** Whether it waits also while no commit is under way. Otherwise what arrived in one turn goes at its end. */
  readonly waitsWhenIdle: boolean;
  /** Least time between the starts of two commits, in milliseconds: room for others that need the same rows. */
  readonly minGapMs: number;
  /** Pause after a commit that failed, in milliseconds. */
  readonly pauseMs: number;
  /** Commits under way at the same time. */
  readonly maxInFlight: number;
}

/**
 * Group commit: what waits is written in batches, one commit for many items. It decides when a batch begins; what
 * waits, in which order, and what becomes of an item is for its users to say. It does no I/O of its own.
 */
export class GroupCommit<Item> {
  private readonly underWay = new Set<Promise<void>>();
  private lastStartMs = Number.NEGATIVE_INFINITY;
  private pausedUntilMs = Number.NEGATIVE_INFINITY;
  private wakesAtMs = Number.POSITIVE_INFINITY;
  private isTurnEnding = false;
  private isClosing = false;

  /**
   * @param write commits a batch. A rejection means that it failed, and that `write` has dealt with its items: those to
   *   be tried again wait again.
   */
  constructor(
    private readonly items: WaitingItems<Item>,
    private readonly write: (batch: readonly Item[]) => Promise<void>,
    private readonly clock: CommitClock,
    private readonly limits: GroupCommitLimits,
  ) {}

  /** Commits under way. */
  get inFlight(): number {
    return this.underWay.size;
  }

  /** To be called when something waits that did not before. */
  added(): void {
    if (this.limits.waitsWhenIdle || this.underWay.size > 0) this.pump();
    else this.pumpAtEndOfTurn();
  }

  /** Commits what waits, one batch after the other, until `untilMs`; what is left then stays. Never throws. */
  async close(untilMs: number): Promise<void> {
    // From here on this loop alone commits: a commit beside it could end after the connections.
    this.isClosing = true;
    await Promise.all(this.underWay);
    while (this.items.size > 0 && this.clock.monotonicMs() < untilMs) {
      await this.begin();
      const pauseMs = Math.min(this.pausedUntilMs, untilMs) - this.clock.monotonicMs();
      if (pauseMs > 0) await sleep(pauseMs);
    }
  }

  /** A commit costs as much as many items: those that arrived together go together, not the first of them alone. */
  private pumpAtEndOfTurn(): void {
    if (this.isTurnEnding) return;
    this.isTurnEnding = true;
    this.clock.soon(() => {
      this.isTurnEnding = false;
      this.pump();
    });
  }

  private pump(): void {
    while (!this.isClosing && this.underWay.size < this.limits.maxInFlight) {
      const dueMs = this.dueAtMs();
      if (dueMs === null) return;
      if (dueMs > this.clock.monotonicMs()) return this.wakeAt(dueMs);
      void this.begin();
    }
  }

  /** When the next commit may begin; null while nothing may go. */
  private dueAtMs(): number | null {
    const ready = this.items.ready();
    if (ready === null) return null;
    const waits = !ready.isFull && (this.limits.waitsWhenIdle || this.underWay.size > 0);
    const ripeMs = waits ? ready.sinceMs + this.limits.maxWaitMs : ready.sinceMs;
    return Math.max(ripeMs, this.lastStartMs + this.limits.minGapMs, this.pausedUntilMs);
  }

  /** One that was set for an earlier instant looks again by itself. */
  private wakeAt(atMs: number): void {
    if (this.wakesAtMs <= atMs) return;
    this.wakesAtMs = atMs;
    this.clock.after(atMs - this.clock.monotonicMs(), () => {
      if (this.wakesAtMs === atMs) this.wakesAtMs = Number.POSITIVE_INFINITY;
      this.pump();
    });
  }

  private begin(): Promise<void> {
    this.lastStartMs = this.clock.monotonicMs();
    const commit = this.commit(this.items.take(this.lastStartMs)).then(() => {
      this.underWay.delete(commit);
      this.pump();
    });
    this.underWay.add(commit);
    return commit;
  }

  private async commit(batch: readonly Item[]): Promise<void> {
    try {
      await this.write(batch);
    } catch {
      this.pausedUntilMs = this.clock.monotonicMs() + this.limits.pauseMs;
    } finally {
      this.items.ended?.(batch);
    }
  }
}
