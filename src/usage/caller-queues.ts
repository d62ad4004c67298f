/** A caller that has not submitted for so long is no reason to share. */
const ACTIVE_MS = 1_000;

interface Item {
  readonly caller: string;
  readonly sinceMs: number;
}

/**
 * What waits, by caller, in the order of their turns. While more than one caller is active, each has a share of a
 * batch, and one batch under way: the backlog of one delays another by the share and not by the backlog.
 */
export class CallerQueues<One extends Item> {
  /** By caller; the first has its turn next. */
  private readonly queues = new Map<string, One[]>();
  private readonly underWay = new Map<string, number>();
  /** When each caller submitted last, the longest ago first. */
  private readonly seenMs = new Map<string, number>();
  private total = 0;

  constructor(
    private readonly maxBatch: number,
    private readonly maxShare: number,
  ) {}

  get size(): number {
    return this.total;
  }

  sizeOf(caller: string): number {
    return this.queues.get(caller)?.length ?? 0;
  }

  add(caller: string, items: readonly One[], nowMs: number): void {
    this.seenMs.delete(caller);
    this.seenMs.set(caller, nowMs);
    this.forgetInactive(nowMs);
    const queue = this.queues.get(caller);
    if (queue === undefined) this.queues.set(caller, [...items]);
    else for (const item of items) queue.push(item);
    this.total += items.length;
  }

  /** Whether a batch could be filled now, and since when the first that could go waits; null: none could. */
  ready(): { isFull: boolean; sinceMs: number } | null {
    const share = this.share();
    let count = 0;
    let sinceMs = Infinity;
    for (const [caller, queue] of this.queues) {
      if (!this.mayGo(caller)) continue;
      count += Math.min(share, queue.length);
      sinceMs = Math.min(sinceMs, queue[0]!.sinceMs);
      if (count >= this.maxBatch) break;
    }
    return count === 0 ? null : { isFull: count >= this.maxBatch, sinceMs };
  }

  /** The next batch: of each caller in turn its share. `ended` must follow. */
  take(): One[] {
    const share = this.share();
    const items: One[] = [];
    for (const caller of [...this.queues.keys()]) {
      if (items.length === this.maxBatch) break;
      if (!this.mayGo(caller)) continue;
      const queue = this.queues.get(caller)!;
      items.push(...queue.splice(0, Math.min(share, this.maxBatch - items.length)));
      this.underWay.set(caller, (this.underWay.get(caller) ?? 0) + 1);
      // The caller goes to the end of the turns.
      this.queues.delete(caller);
      if (queue.length > 0) this.queues.set(caller, queue);
    }
    this.total -= items.length;
    return items;
  }

  /** A batch that was taken is committed, or has failed. */
  ended(batch: readonly One[]): void {
    for (const caller of new Set(batch.map(({ caller }) => caller))) {
      const left = this.underWay.get(caller)! - 1;
      if (left === 0) this.underWay.delete(caller);
      else this.underWay.set(caller, left);
    }
  }

  /** Drops what of these callers is not to be kept. */
  filter(callers: Iterable<string>, keep: (item: One) => boolean): void {
    for (const caller of callers) {
      const queue = this.queues.get(caller);
      if (queue === undefined) continue;
      const kept = queue.filter(keep);
      this.total -= queue.length - kept.length;
      // In its place: its turn stays where it was.
      if (kept.length > 0) this.queues.set(caller, kept);
      else this.queues.delete(caller);
    }
  }

  /**
   * Where entries of one caller alone wait, they fill the batch: a long report beside callers that are idle ends in
   * time.
   */
  private share(): number {
    return this.isShared && this.queues.size > 1 ? this.maxShare : this.maxBatch;
  }

  private mayGo(caller: string): boolean {
    return !this.isShared || !this.underWay.has(caller);
  }

  private get isShared(): boolean {
    return this.seenMs.size > 1;
  }

  private forgetInactive(nowMs: number): void {
    for (const [caller, seenMs] of this.seenMs) {
      if (seenMs > nowMs - ACTIVE_MS) return;
      this.seenMs.delete(caller);
    }
  }
}
