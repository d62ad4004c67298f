import { fewPermits } from './demand-estimator.js';
import type { RateWindow, WindowAsk } from './quota-store.js';
import { isOfTokens } from './token-windows.js';
import type { WindowEntry } from './window-entry.js';

/** How many replicas there are, and whether leases may be asked for that live for an hour. */
export interface AskedBy {
  readonly live: number;
  readonly mayStand: boolean;
}

/** What to ask of a window for these needs, as one of several replicas. @param windows those of the newest call */
export function askOf(
  { id, window, flow, of, inForce }: WindowEntry,
  windows: readonly RateWindow[],
  needs: readonly number[],
  { live, mayStand }: AskedBy,
  nowMs: number,
): WindowAsk {
  // Of a limit that keys share the amount of the last answer, as far as one is known.
  const limit =
    of === undefined ? windows.find((one) => one.id === id && one.window === window)?.limit : inForce?.amount;
  const few =
    !mayStand || isOfTokens({ of })
      ? 0
      : of === undefined
        ? fewOfKey(id, windows, live)
        : limit
          ? fewPermits(limit, live)
          : 0;
  let need = 0;
  for (const one of needs) need += one;
  const want = flow.want(need, nowMs, limit ?? 0, few, live);
  return { id, window, limit: limit ?? 0, want, few, needs, previous: null, of };
}

/** How many permits are few in every window of a key. */
function fewOfKey(id: string, windows: readonly RateWindow[], live: number): number {
  let few = Infinity;
  for (const one of windows) if (one.id === id) few = Math.min(few, fewPermits(one.limit, live));
  return few === Infinity ? 0 : few;
}
