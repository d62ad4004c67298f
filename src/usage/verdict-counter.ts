/** How often one key got one answer within one minute. */
export interface VerdictCount {
  readonly keyId: string;
  /** `VALID`, or why it was refused. */
  readonly code: string;
  /** Start of the minute, in Unix milliseconds. */
  readonly minuteMs: number;
  readonly count: number;
}

const MINUTE_MS = 60_000;
/** Keys of one minute that are kept apart; more than that within a minute are counted as `dropped`. */
const MAX_KEYS = 200_000;

/**
 * Counts of one key in one minute, in the order in which the codes first came. Nearly every key meets one code in a
 * minute, and a Map for each would weigh more than all the rest that is known of it.
 */
class Codes {
  private more: Map<string, number> | null = null;

  constructor(
    private readonly code: string,
    private counted: number,
  ) {}

  add(code: string, count: number): void {
    if (code === this.code) {
      this.counted += count;
      return;
    }
    this.more ??= new Map();
    this.more.set(code, (this.more.get(code) ?? 0) + count);
  }

  /** Hands every count to `tell`. */
  each(tell: (code: string, count: number) => void): void {
    tell(this.code, this.counted);
    this.more?.forEach((count, code) => tell(code, count));
  }
}

/**
 * Counts verdicts in memory, by key, code and minute, until they are taken to the database. Counting is
 * synchronous and never fails. Counts are statistics: those of the last second die with the process, money does not
 * depend on them.
 */
export class VerdictCounter {
  /** By minute, oldest first. */
  private readonly minutes = new Map<number, Map<string, Codes>>();
  private keys = 0;
  private droppedCount = 0;

  constructor(
    private readonly clock: { now(): Date },
    private readonly maxKeys = MAX_KEYS,
  ) {}

  /** Verdicts that were not counted because memory for them was full. */
  get dropped(): number {
    return this.droppedCount;
  }

  /** Keys with counts that nobody has taken yet. */
  get pending(): number {
    return this.keys;
  }

  /** One more `code` for this key, now. Only for keys whose secret was proven; unknown secrets leave no trace here. */
  count(keyId: string, code: string): void {
    const nowMs = this.clock.now().getTime();
    this.add(keyId, code, nowMs - (nowMs % MINUTE_MS), 1);
  }

  /** Hands out counts of up to `maxKeys` keys, the longest waiting first; they are forgotten here. */
  take(maxKeys: number): VerdictCount[] {
    const taken: VerdictCount[] = [];
    let left = maxKeys;
    for (const [minuteMs, keys] of this.minutes) {
      for (const [keyId, codes] of keys) {
        if (left === 0) return taken;
        codes.each((code, count) => taken.push({ keyId, code, minuteMs, count }));
        keys.delete(keyId);
        this.keys -= 1;
        left -= 1;
      }
      this.minutes.delete(minuteMs);
    }
    return taken;
  }

  /** Takes back what could not be written. */
  giveBack(counts: readonly VerdictCount[]): void {
    for (const { keyId, code, minuteMs, count } of counts) this.add(keyId, code, minuteMs, count);
  }

  private add(keyId: string, code: string, minuteMs: number, count: number): void {
    const codes = this.minutes.get(minuteMs)?.get(keyId);
    if (codes !== undefined) codes.add(code, count);
    else this.open(keyId, code, minuteMs, count);
  }

  /** A place for the counts of a key in a minute, unless memory for them is full. */
  private open(keyId: string, code: string, minuteMs: number, count: number): void {
    if (this.keys >= this.maxKeys) {
      this.droppedCount += count;
      return;
    }
    const keys = this.minutes.get(minuteMs) ?? new Map<string, Codes>();
    keys.set(keyId, new Codes(code, count));
    this.minutes.set(minuteMs, keys);
    this.keys += 1;
  }
}
