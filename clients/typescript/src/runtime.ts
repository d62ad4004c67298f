/** What the cores take from outside, so that tests can hold the clock. */
export interface Runtime {
  /** Milliseconds that only grow. */
  now(): number;
  /** Milliseconds of the wall clock: it also counts while the host is suspended. */
  wallNow(): number;
  /** 0 ≤ x < 1. */
  random(): number;
  /** Calls back once, unless cancelled by what it returns. */
  after(milliseconds: number, callback: () => void): () => void;
}

/** The real clock. Its timers keep the process alive: what is queued is to be sent before it ends. */
export const systemRuntime: Runtime = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  random: () => Math.random(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** Resolves after the time, or at once when the signal says so. Never rejects. */
export function sleep(runtime: Runtime, milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = runtime.after(milliseconds, end);
    signal?.addEventListener('abort', end, { once: true });
  });
}

/**
 * How long to wait before attempt `attempt + 1`: a random part of a bound that doubles (so that clients that failed
 * together do not come back together), but never less than the server asked for.
 */
export function backoffMs(
  runtime: Runtime,
  attempt: number,
  bounds: { baseMs: number; maxMs: number },
  retryAfterSeconds: number | null,
): number {
  const bound = Math.min(bounds.maxMs, bounds.baseMs * 2 ** (attempt - 1));
  return Math.max(bound * (0.5 + runtime.random() / 2), (retryAfterSeconds ?? 0) * 1000);
}
