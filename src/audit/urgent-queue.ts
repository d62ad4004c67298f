interface Waiting<T> {
  readonly item: T;
  readonly sinceMs: number;
}

/** Items that wait for a group commit: urgent ones go before patient ones, and each kind keeps its order. */
export class UrgentQueue<T> {
  private urgent: Waiting<T>[] = [];
  private patient: Waiting<T>[] = [];

  /**
   * @param maxRows items of one commit
   * @param maxQueued items that may wait, of either kind
   */
  constructor(
    private readonly maxRows: number,
    private readonly maxQueued: number,
  ) {}

  /** Items that wait. */
  get size(): number {
    return this.urgent.length + this.patient.length;
  }

  /** Takes an item in; false when that many wait already, and it was not taken. */
  offer(item: T, isUrgent: boolean, nowMs: number): boolean {
    const queue = isUrgent ? this.urgent : this.patient;
    if (queue.length >= this.maxQueued) return false;
    queue.push({ item, sinceMs: nowMs });
    return true;
  }

  /** Whether a commit is full, and since when the first item waits; null: none does. */
  ready(): { isFull: boolean; sinceMs: number } | null {
    if (this.size === 0) return null;
    const sinceMs = Math.min(this.urgent[0]?.sinceMs ?? Infinity, this.patient[0]?.sinceMs ?? Infinity);
    return { isFull: this.size >= this.maxRows, sinceMs };
  }

  /** The items of the next commit. */
  take(): T[] {
    const first = this.urgent.splice(0, this.maxRows);
    const batch = [...first, ...this.patient.splice(0, this.maxRows - first.length)];
    return batch.map(({ item }) => item);
  }

  /** Lets items of a commit that failed wait again, before all other patient ones. Returns what found no room. */
  putBack(items: readonly T[], nowMs: number): T[] {
    const room = Math.max(0, this.maxQueued - this.patient.length);
    this.patient.unshift(...items.slice(0, room).map((item) => ({ item, sinceMs: nowMs })));
    return items.slice(room);
  }
}
