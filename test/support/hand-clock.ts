/** A clock that stands still until it is moved. */
export class HandClock {
  private nowMs = 0;
  private timers: { atMs: number; run: () => void }[] = [];
  /** What waits for the end of the turn; null: every turn ends at once. */
  turn: (() => void)[] | null = null;

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, run: () => void): void {
    this.timers.push({ atMs: this.nowMs + delayMs, run });
  }

  soon(run: () => void): void {
    if (this.turn === null) run();
    else this.turn.push(run);
  }

  endTurn(): void {
    for (const run of this.turn?.splice(0) ?? []) run();
  }

  /** Runs every timer that falls due, in order, at its time. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const [next] = this.timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
      await settled();
    }
    this.nowMs = untilMs;
  }
}

/** Lets everything that is settled be heard of. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
