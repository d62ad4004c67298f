/** About how long an acquired slice should last. */
const HORIZON_MS = 2_000;
/** Within this, what is added counts as of the same moment: the hot path computes no exponential. */
const MOMENT_MS = 20;

/** How much was drawn lately: about the amount of the last two seconds, fading. */
export class Flow {
  private amount = 0;
  private atMs = 0;

  add(amount: number, nowMs: number): void {
    if (nowMs - this.atMs < MOMENT_MS) {
      this.amount += amount;
      return;
    }
    this.amount = this.recent(nowMs) + amount;
    this.atMs = nowMs;
  }

  recent(nowMs: number): number {
    const passed = nowMs - this.atMs;
    return passed <= 0 ? this.amount : this.amount * Math.exp(-passed / HORIZON_MS);
  }
}
