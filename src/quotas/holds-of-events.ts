import { type Hold, NO_LEASE, SLOT, WINDOW } from './quota-store.js';
import { readMark } from './token-windows.js';

/** What one event holds of an account. */
interface HoldOfEvent extends Hold {
  /** Its place, from 1. */
  readonly event: number;
}

/** What one event holds of a window of tokens; both null: nothing, and its report counts there. */
interface WindowOfEvent {
  readonly event: number;
  readonly accountId: string;
  readonly epoch: bigint | null;
  readonly bucket: number | null;
}

/** What events hold, by what becomes of it at their end: it is settled, freed whole, or taken out of a window. */
export interface HoldsOfEvents {
  readonly holds: HoldOfEvent[];
  readonly slots: HoldOfEvent[];
  readonly windows: WindowOfEvent[];
}

/** Sorts what events hold. @param events the holds of each */
export function sortHolds(events: readonly (readonly Hold[])[]): HoldsOfEvents {
  const sorted: HoldsOfEvents = { holds: [], slots: [], windows: [] };
  for (const [index, holds] of events.entries())
    for (const hold of holds) {
      const event = index + 1;
      if (hold.period === WINDOW) sorted.windows.push(windowOf(hold, event));
      else (hold.period === SLOT ? sorted.slots : sorted.holds).push({ ...hold, event });
    }
  return sorted;
}

function windowOf({ accountId, leaseId }: Hold, event: number): WindowOfEvent {
  if (leaseId === NO_LEASE) return { event, accountId, epoch: null, bucket: null };
  const { epoch, bucket } = readMark(leaseId);
  return { event, accountId, epoch: BigInt(`0x${epoch}`), bucket };
}
