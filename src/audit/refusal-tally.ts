/** Bounds of the tally. */
export interface TallyLimits {
  /** Refusals of one kind that are told one by one in a window. */
  readonly singly: number;
  readonly windowMs: number;
  /** Kinds that are told apart at once; the rest share one count for each `sharedKey`. */
  readonly maxKinds: number;
}

/** The figures of api.md: per principal, action and code the first 20 a minute singly. */
export const REFUSAL_LIMITS: TallyLimits = { singly: 20, windowMs: 60_000, maxKinds: 10_000 };

/** Refusals beyond those told one by one, of a window that has closed. */
export interface CountedRefusals<T> {
  /** The last of them, as an example of all. */
  readonly example: T;
  readonly count: number;
  /** Whether they are of several principals, for want of memory to tell these apart. */
  readonly isShared: boolean;
}

interface Kind<T> {
  readonly untilMs: number;
  told: number;
  counted: number;
  example: T;
}

/**
 * Keeps a flood of refusals from becoming a flood of rows: the first of a kind in a window are told singly, the
 * rest are counted. Memory is bounded however many principals there are: when `maxKinds` are known, refusals of
 * others are counted from the first, together.
 */
export class RefusalTally<T> {
  private readonly kinds = new Map<string, Kind<T>>();
  private readonly shared = new Map<string, Kind<T>>();

  constructor(private readonly limits: TallyLimits = REFUSAL_LIMITS) {}

  /**
   * Whether this refusal is told singly; if not, it has been counted. `key` names the kind; `sharedKey` is one of
   * a small closed set.
   */
  tellsSingly(key: string, sharedKey: string, example: T, nowMs: number): boolean {
    const kind = this.kinds.get(key) ?? this.addKind(key, example, nowMs);
    if (kind !== null && kind.told < this.limits.singly) {
      kind.told += 1;
      return true;
    }
    const counter = kind ?? this.sharedKind(sharedKey, example, nowMs);
    counter.counted += 1;
    counter.example = example;
    return false;
  }

  /** Forgets the windows that have closed by now and gives their counts. */
  close(nowMs: number): CountedRefusals<T>[] {
    return [...closed(this.kinds, nowMs, false), ...closed(this.shared, nowMs, true)];
  }

  private addKind(key: string, example: T, nowMs: number): Kind<T> | null {
    if (this.kinds.size >= this.limits.maxKinds) return null;
    const kind = { untilMs: nowMs + this.limits.windowMs, told: 0, counted: 0, example };
    this.kinds.set(key, kind);
    return kind;
  }

  private sharedKind(key: string, example: T, nowMs: number): Kind<T> {
    const known = this.shared.get(key);
    if (known) return known;
    const kind = { untilMs: nowMs + this.limits.windowMs, told: 0, counted: 0, example };
    this.shared.set(key, kind);
    return kind;
  }
}

function closed<T>(kinds: Map<string, Kind<T>>, nowMs: number, isShared: boolean): CountedRefusals<T>[] {
  const ended = [...kinds].filter(([, kind]) => kind.untilMs <= nowMs);
  for (const [key] of ended) kinds.delete(key);
  return ended
    .filter(([, kind]) => kind.counted > 0)
    .map(([, { example, counted }]) => ({ example, count: counted, isShared }));
}
