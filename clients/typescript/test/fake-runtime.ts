import type { Runtime } from '../src/runtime.js';

/** A clock that moves when told to, both hands alike unless the host was suspended. */
export class FakeRuntime implements Runtime {
  private time = 0;
  private suspendedMs = 0;
  private timers: { at: number; callback: () => void }[] = [];
  /** What `random` gives. */
  luck = 1 - Number.EPSILON;

  now(): number {
    return this.time;
  }

  wallNow(): number {
    return 1_800_000_000_000 + this.time + this.suspendedMs;
  }

  random(): number {
    return this.luck;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const timer = { at: this.time + milliseconds, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  /** The monotonic clock stands still while a host sleeps. */
  suspend(milliseconds: number): void {
    this.suspendedMs += milliseconds;
  }

  /** Lets time pass, timer by timer, and what waits for them run. */
  async advance(milliseconds: number): Promise<void> {
    const until = this.time + milliseconds;
    await settled();
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= until).sort((one, other) => one.at - other.at)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = Math.max(this.time, next.at);
      next.callback();
      await settled();
    }
    this.time = until;
  }
}

/** Lets everything run that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
