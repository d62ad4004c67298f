interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Virtual time: a heap of what happens next. Events of one instant run in the order in which they were made. */
export class EventQueue {
  now = 0;
  private order = 0;
  private readonly heap: Event[] = [];

  get size(): number {
    return this.heap.length;
  }

  at(time: number, run: () => void): void {
    this.heap.push({ at: Math.max(time, this.now), order: this.order++, run });
    let index = this.heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(this.heap[index] as Event, this.heap[parent] as Event)) break;
      this.swap(index, parent);
      index = parent;
    }
  }

  /** Takes the next event up to `until` and moves time to it; null if there is none. */
  next(until: number): (() => void) | null {
    const first = this.heap[0];
    if (first === undefined || first.at > until) return null;
    const last = this.heap.pop() as Event;
    if (this.heap.length > 0) {
      this.heap[0] = last;
      this.sink();
    }
    this.now = first.at;
    return first.run;
  }

  private sink(): void {
    let index = 0;
    for (;;) {
      let least = index;
      for (const child of [2 * index + 1, 2 * index + 2]) {
        if (child < this.heap.length && before(this.heap[child] as Event, this.heap[least] as Event)) least = child;
      }
      if (least === index) return;
      this.swap(index, least);
      index = least;
    }
  }

  private swap(one: number, other: number): void {
    const kept = this.heap[one] as Event;
    this.heap[one] = this.heap[other] as Event;
    this.heap[other] = kept;
  }
}

function before(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
