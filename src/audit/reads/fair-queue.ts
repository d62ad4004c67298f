/**
 * A queue of bounded size that parties share. When it is full, the party with the most in it loses the newest of its
 * own: the flood of one costs no other anything. What is taken out is taken in turns.
 */
export class FairQueue<T> {
  /** In the order of their turns. */
  private readonly parties = new Map<string, T[]>();
  private total = 0;
  /** Since when something waits that nothing was taken from: at the last take, or when the first came. */
  private sinceMs = 0;

  /** @param maxRows items of one commit */
  constructor(
    private readonly capacity: number,
    private readonly maxRows: number,
  ) {}

  get size(): number {
    return this.total;
  }

  /** Takes an item in; returns what had to go for it, which may be the item itself, or null. */
  offer(party: string, item: T, nowMs: number): T | null {
    if (this.total === 0) this.sinceMs = nowMs;
    const queue = this.parties.get(party) ?? [];
    this.parties.set(party, queue);
    queue.push(item);
    this.total += 1;
    return this.total > this.capacity ? this.drop() : null;
  }

  /** Whether a commit is full, and since when something waits; null: nothing does. */
  ready(): { isFull: boolean; sinceMs: number } | null {
    return this.total === 0 ? null : { isFull: this.total >= this.maxRows, sinceMs: this.sinceMs };
  }

  /** The items of the next commit, of each party one in turn. */
  take(nowMs: number): T[] {
    this.sinceMs = nowMs;
    const taken: T[] = [];
    while (taken.length < this.maxRows && this.total > 0) {
      const [party, queue] = this.parties.entries().next().value!;
      this.parties.delete(party);
      taken.push(queue.shift()!);
      this.total -= 1;
      if (queue.length > 0) this.parties.set(party, queue);
    }
    return taken;
  }

  private drop(): T {
    let longest: [string, T[]] | null = null;
    for (const entry of this.parties) if (longest === null || entry[1].length > longest[1].length) longest = entry;
    const [party, queue] = longest!;
    const dropped = queue.pop()!;
    this.total -= 1;
    if (queue.length === 0) this.parties.delete(party);
    return dropped;
  }
}
