import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterDatabase, ProofCluster } from './cluster.js';
import type { ProofAnswer } from './http-client.js';

const PAUSE_MS = 25;
const TIMEOUT_MS = 2_000;

/** What is asked for all the time, and for how long none of it succeeded. */
export class Gaps {
  private readonly succeeded = new Map<string, number[]>();
  private ended = false;

  /** @param asks by name: one call on a replica, and whether its answer is a success */
  constructor(
    private readonly cluster: ProofCluster<ClusterDatabase>,
    private readonly asks: Readonly<Record<string, Ask>>,
  ) {}

  /** Asks until `end()`. */
  async run(): Promise<void> {
    await Promise.all(Object.entries(this.asks).map(([name, ask]) => this.repeat(name, ask)));
  }

  end(): void {
    this.ended = true;
  }

  /** How often each succeeded. */
  count(name: string): number {
    return this.succeeded.get(name)?.length ?? 0;
  }

  /** The longest time in this interval in which a call did not succeed, in milliseconds. */
  longest(name: string, sinceMs: number, untilMs: number): number {
    const times = (this.succeeded.get(name) ?? []).filter((at) => at > sinceMs && at < untilMs);
    const marks = [sinceMs, ...times, untilMs];
    return Math.round(Math.max(...marks.slice(1).map((at, index) => at - marks[index]!)));
  }

  private async repeat(name: string, ask: Ask): Promise<void> {
    const times: number[] = [];
    this.succeeded.set(name, times);
    for (let turn = 0; !this.ended; turn += 1) {
      const { client } = this.cluster.replica(turn);
      const post = (path: string, options: object) => client.post(path, { timeoutMs: TIMEOUT_MS, ...options });
      const isSuccess = await ask(post, turn).catch(() => false);
      if (isSuccess) times.push(performance.now());
      await sleep(PAUSE_MS);
    }
  }
}

/** One call; gives whether it succeeded. */
export type Ask = (post: (path: string, options: object) => Promise<ProofAnswer>, turn: number) => Promise<boolean>;
