/** What one row of the replicas' table says. */
export interface ReplicaRow {
  readonly id: string;
  readonly appliedSeq: bigint;
  /** Any text that changes with every heartbeat. */
  readonly beat: string;
}

interface Seen {
  appliedSeq: bigint;
  beat: string;
  changedAtMs: number;
}

/**
 * Who is alive and how far each replica has applied changes, as this one sees it: silence is measured by the
 * watcher's own monotonic clock, so that no clock of another machine, the database's included, can shorten it.
 */
export class ReplicaWatch {
  private readonly seen = new Map<string, Seen>();
  private observedAtMs = Number.NEGATIVE_INFINITY;

  /** Silence counts only while this replica itself looks at least every `gapMs`. */
  constructor(
    private readonly silentMs: number,
    private readonly gapMs: number,
  ) {}

  /** The whole table, as read at `nowMs` or before. */
  observe(rows: readonly ReplicaRow[], nowMs: number): void {
    if (nowMs - this.observedAtMs > this.gapMs) this.forgive(nowMs);
    this.observedAtMs = nowMs;
    const present = new Set(rows.map(({ id }) => id));
    for (const id of this.seen.keys()) if (!present.has(id)) this.seen.delete(id);
    for (const { id, appliedSeq, beat } of rows) {
      const known = this.seen.get(id);
      if (known?.beat === beat) continue;
      this.seen.set(id, { appliedSeq, beat, changedAtMs: nowMs });
    }
  }

  /** Nobody could be heard of late, so everybody's silence begins anew: we were away, or nobody could write. */
  forgive(nowMs: number): void {
    for (const replica of this.seen.values()) replica.changedAtMs = nowMs;
  }

  /** Replicas that may still answer by a state before `seq`. */
  laggards(seq: bigint, nowMs: number): string[] {
    return [...this.seen]
      .filter(([, replica]) => replica.appliedSeq < seq && !this.isSilent(replica, nowMs))
      .map(([id]) => id);
  }

  /** Replicas that were seen alive of late. */
  live(nowMs: number): string[] {
    return [...this.seen].filter(([, replica]) => !this.isSilent(replica, nowMs)).map(([id]) => id);
  }

  /** Replicas that have been silent for longer than `forMs`. */
  silentFor(forMs: number, nowMs: number): string[] {
    return [...this.seen].filter(([, { changedAtMs }]) => nowMs - changedAtMs > forMs).map(([id]) => id);
  }

  /** Milliseconds since the last heartbeat that this replica has seen, or null for one it does not know. */
  silenceMs(id: string, nowMs: number): number | null {
    const replica = this.seen.get(id);
    return replica === undefined ? null : nowMs - replica.changedAtMs;
  }

  private isSilent(replica: Seen, nowMs: number): boolean {
    return nowMs - replica.changedAtMs > this.silentMs;
  }
}
