import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedPostgres } from './embedded-postgres.js';

/** How often the server is looked at: one that has died is noticed within twice this. */
const LOOK_EVERY_MS = 500;
/** Pauses after attempts that failed; when they are used up, the process is to end. */
const PAUSES_MS = [500, 1_000, 2_000, 4_000] as const;

/** What a supervisor tells. */
export interface SupervisorEvents {
  readonly onError: (sentence: string) => void;
  readonly onInfo: (sentence: string) => void;
  /** The server could not be brought back: the process has to end, so that its own supervisor acts. */
  readonly onLost: (sentence: string) => void;
}

/** What the supervised server needs to be. */
export type Supervised = Pick<EmbeddedPostgres, 'pid' | 'isRunning' | 'restart'>;

/**
 * Watches the embedded PostgreSQL and starts it again when it has died. Of several processes that share it one does so,
 * under the lock of their data directory; the others find it running.
 */
export class EmbeddedSupervisor {
  /** How often this process has started the server again. */
  restarts = 0;
  /** Whether the server is known not to run. */
  isDown = false;
  private stopping: AbortController | null = null;
  private watching: Promise<void> = Promise.resolve();

  constructor(
    private readonly server: Supervised,
    private readonly events: SupervisorEvents,
  ) {}

  start(): void {
    const stopping = new AbortController();
    this.stopping = stopping;
    this.watching = this.watch(stopping.signal);
  }

  /** Watches no more; an attempt that is under way comes to its end first. */
  async stop(): Promise<void> {
    this.stopping?.abort();
    await this.watching;
  }

  private async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(LOOK_EVERY_MS, signal);
      if (signal.aborted || (await this.isRunning())) continue;
      if (!(await this.bringBack(signal))) return;
    }
  }

  /** A directory that cannot be read is as bad as one that is gone; the attempt will say what is the matter. */
  private isRunning(): Promise<boolean> {
    return this.server.isRunning().catch(() => false);
  }

  /** False when it has been given up. */
  private async bringBack(signal: AbortSignal): Promise<boolean> {
    const beganMs = performance.now();
    this.isDown = true;
    this.events.onError(
      `The embedded PostgreSQL (process ${this.server.pid}) has ended without being asked to. It is started again.`,
    );
    for (const pauseMs of [...PAUSES_MS, null]) {
      if (signal.aborted) return true;
      const reason = await this.attempt(beganMs);
      if (reason === null) return true;
      if (pauseMs === null) {
        this.events.onLost(`The embedded PostgreSQL could not be started again: ${reason}`);
        return false;
      }
      this.events.onError(`The embedded PostgreSQL could not be started again, and is tried once more: ${reason}`);
      await pause(pauseMs, signal);
    }
    return false;
  }

  /** Null when the server runs again, else why it does not. */
  private async attempt(beganMs: number): Promise<string | null> {
    try {
      const { pid, startedHere } = await this.server.restart();
      if (startedHere) this.restarts += 1;
      this.isDown = false;
      const by = startedHere ? '' : ', started by another process';
      this.events.onInfo(
        `The embedded PostgreSQL runs again (process ${pid}${by}) after ${Math.round(performance.now() - beganMs)} ms.`,
      );
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
