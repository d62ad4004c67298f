/** Bounds of the memory for reads. */
export interface EqualReadsLimits {
  /** Equal reads of so long are one counted entry, in milliseconds. */
  readonly windowMs: number;
  /** Reads of one principal that are told apart; the others of that principal are counted together. */
  readonly kindsOfOne: number;
  /** The same of all principals. */
  readonly kinds: number;
}

/** @see docs/audit-trail.md, Reads */
export const EQUAL_READS_LIMITS: EqualReadsLimits = { windowMs: 60_000, kindsOfOne: 1_000, kinds: 50_000 };

/** Reads that followed an equal one, of a window that has ended. */
export interface CountedReads<T> {
  /** The last of them. */
  readonly example: T;
  readonly count: number;
  /** Whether they were not all equal, for want of memory to tell them apart. */
  readonly isMixed: boolean;
}

interface Kind<T> {
  readonly party: string;
  readonly isMixed: boolean;
  untilMs: number;
  count: number;
  example: T;
}

/** Keeps reads that repeat from becoming an entry each: the first is told, those that follow are counted. */
export class EqualReads<T> {
  private readonly kinds = new Map<string, Kind<T>>();
  private readonly kindsOf = new Map<string, number>();

  constructor(private readonly limits: EqualReadsLimits = EQUAL_READS_LIMITS) {}

  /**
   * Whether this read is told by itself; if not, it has been counted. `name` is the same for equal reads of a party.
   */
  isFirst(party: string, name: string, example: T, nowMs: number): boolean {
    const key = `${party} ${name}`;
    const known = this.kinds.get(key);
    if (known !== undefined) return this.count(known, example);
    const isMixed = this.kinds.size >= this.limits.kinds || (this.kindsOf.get(party) ?? 0) >= this.limits.kindsOfOne;
    if (!isMixed) {
      this.add(key, { party, isMixed, untilMs: nowMs + this.limits.windowMs, count: 0, example });
      this.kindsOf.set(party, (this.kindsOf.get(party) ?? 0) + 1);
      return true;
    }
    const shared = `${party} `;
    const counter =
      this.kinds.get(shared) ??
      this.add(shared, { party, isMixed, untilMs: nowMs + this.limits.windowMs, count: 0, example });
    return this.count(counter, example);
  }

  /** The counts of windows that have ended by now. What goes on is counted from then on, without another first. */
  close(nowMs: number): CountedReads<T>[] {
    const counted: CountedReads<T>[] = [];
    for (const [key, kind] of this.kinds) {
      if (kind.untilMs > nowMs) continue;
      if (kind.count === 0) {
        this.forget(key, kind);
        continue;
      }
      counted.push({ example: kind.example, count: kind.count, isMixed: kind.isMixed });
      Object.assign(kind, { count: 0, untilMs: nowMs + this.limits.windowMs });
    }
    return counted;
  }

  private count(kind: Kind<T>, example: T): false {
    kind.count += 1;
    kind.example = example;
    return false;
  }

  private add(key: string, kind: Kind<T>): Kind<T> {
    this.kinds.set(key, kind);
    return kind;
  }

  private forget(key: string, { party, isMixed }: Kind<T>): void {
    this.kinds.delete(key);
    if (isMixed) return;
    const left = this.kindsOf.get(party)! - 1;
    if (left === 0) this.kindsOf.delete(party);
    else this.kindsOf.set(party, left);
  }
}
