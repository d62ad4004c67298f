/** How long equal lines are counted before one line tells of them. */
export const INTERVAL_MS = 10_000;

/** Kinds of lines that are told apart in one interval; whatever else comes is counted together. */
const MAX_KINDS = 32;

/** What is known of one kind of line in the interval that is under way. */
interface Kind {
  told: number;
  untold: number;
  last: Record<string, unknown>;
}

/** Takes one line, or its fields; the message is the field `msg`. */
type Write = (fields: Record<string, unknown>) => void;

/**
 * Lines that an outage repeats for every request and every attempt. The first of a kind is written when it comes; those
 * after it are counted, and told in one line an interval: the last of them, with `repeated`, how many there were.
 */
export class RepeatedLog {
  private readonly kinds = new Map<string, Kind>();
  private timer: NodeJS.Timeout | undefined;

  /** @param burst lines of a kind that are written before counting begins: more where each names a request */
  constructor(
    private readonly write: Write,
    private readonly burst = 1,
    private readonly intervalMs = INTERVAL_MS,
  ) {}

  /** Writes or counts a line. `kind` is of a small set: a sentence, an error code; never an id. */
  add(kind: string, fields: Record<string, unknown>): void {
    const name = this.kinds.has(kind) || this.kinds.size < MAX_KINDS ? kind : 'other';
    const known = this.kinds.get(name) ?? { told: 0, untold: 0, last: fields };
    this.kinds.set(name, known);
    this.timer ??= setTimeout(() => this.endInterval(), this.intervalMs).unref();
    if (known.told < this.burst) {
      known.told += 1;
      this.write(fields);
    } else {
      known.untold += 1;
      known.last = fields;
    }
  }

  /** Tells what has been counted so far; at the end of a process. */
  flush(): void {
    clearTimeout(this.timer);
    this.endInterval();
  }

  private endInterval(): void {
    this.timer = undefined;
    const counted = [...this.kinds].filter(([, { untold }]) => untold > 0);
    this.kinds.clear();
    for (const [name, { last, untold }] of counted) {
      this.write({ ...last, repeated: untold });
      // What goes on is not new: the next of its kind is counted from the start.
      this.kinds.set(name, { told: this.burst, untold: 0, last });
    }
    if (counted.length > 0) this.timer = setTimeout(() => this.endInterval(), this.intervalMs).unref();
  }
}
