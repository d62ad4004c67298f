/**
 * A queue of bounded size that parties share. When it is full, the party with the most in it loses the newest of its
 * own: the flood of one costs no other anything. What is taken out is taken in turns.
 */
export class FairQueue<T> {
  /** In the order of their turns. */
  private readonly parties = new Map<string, T[]>();
  private total = 0;

  constructor(private readonly capacity: number) {}

  get size(): number {
    return this.total;
  }

  /** Takes an item in; returns what had to go for it, which may be the item itself, or null. */
  offer(party: string, item: T): T | null {
    const queue = this.parties.get(party) ?? [];
    this.parties.set(party, queue);
    queue.push(item);
    this.total += 1;
    return this.total > this.capacity ? this.drop() : null;
  }

  /** Up to `most` items, of each party one in turn. */
  take(most: number): T[] {
    const taken: T[] = [];
    while (taken.length < most && this.total > 0) {
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
