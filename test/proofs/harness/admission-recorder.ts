import { setTimeout as sleep } from 'node:timers/promises';
import type { ProofAnswer } from './http-client.js';
import type { Admitted } from './sliding-window.js';

const TICK_MS = 20;

/** Asks at an even rate, whatever the answers are, and records by its own monotonic clock what was admitted. */
export class AdmissionRecorder {
  readonly admitted: Admitted[] = [];
  refused = 0;
  undecided = 0;
  asked = 0;
  /** Answers that must not be. */
  readonly wrong: string[] = [];
  private ended = false;

  constructor(
    private readonly ask: (turn: number) => Promise<ProofAnswer>,
    private readonly perSecond: number,
  ) {}

  async run(): Promise<void> {
    const began = performance.now();
    const underWay: Promise<void>[] = [];
    while (!this.ended) {
      for (; this.asked < ((performance.now() - began) / 1000) * this.perSecond; this.asked += 1)
        underWay.push(this.once(this.asked));
      await sleep(TICK_MS);
    }
    await Promise.all(underWay);
  }

  end(): void {
    this.ended = true;
  }

  private async once(turn: number): Promise<void> {
    const start = performance.now();
    const answer = await this.ask(turn).catch(() => null);
    if (answer === null || answer.status === 503) this.undecided += 1;
    else if (answer.body.valid === true) this.admitted.push({ start, end: performance.now() });
    else if (answer.body.code === 'RATE_LIMITED') this.refused += 1;
    else this.wrong.push(`a verify answered ${answer.status} ${String(answer.body.code)}`);
  }
}

/**
 * What was certainly admitted within one interval of this length, above `allowed` for the interval that begins there;
 * the worst of all intervals, at least 0.
 */
export function mostOver(calls: readonly Admitted[], lengthMs: number, allowed: (startMs: number) => number): number {
  const byStart = [...calls].sort((left, right) => left.start - right.start);
  let worst = 0;
  for (const [first, { start }] of byStart.entries()) {
    const latest = start + lengthMs;
    let within = 0;
    for (let at = first; at < byStart.length && byStart[at]!.start <= latest; at += 1)
      if (byStart[at]!.end <= latest) within += 1;
    worst = Math.max(worst, within - allowed(start));
  }
  return worst;
}
