import { LeaseManager } from '../../src/quotas/lease-manager.js';
import { WINDOW_NAMES, type WindowRow } from '../../src/quotas/memory-entry.js';
import type { PermitClose } from '../../src/quotas/quota-store.js';
import type { WindowEntry } from '../../src/quotas/window-entry.js';

/** Ways to break what a lease manager does with permits, one at a time. */
export type PermitFault =
  | 'refill-closes-what-is-drawn-from'
  | 'same-part-closed-twice'
  | 'permits-handed-back-twice'
  | 'permits-handed-back-and-kept';

interface Inside {
  drop(row: WindowRow, nowMs: number): void;
  handBack(entry: WindowEntry, closes: readonly PermitClose[]): void;
}

/** A lease manager with one rule about permits broken. */
export function faultyPermits(fault: PermitFault): typeof LeaseManager {
  switch (fault) {
    case 'refill-closes-what-is-drawn-from':
      return class extends LeaseManager {
        override closeUsed(entry: WindowEntry, nowMs: number): PermitClose[] {
          const { lease } = entry;
          if (lease === null || lease.remaining === 0) return super.closeUsed(entry, nowMs);
          const close = lease.closeAll(nowMs);
          return close === null ? [] : [close];
        }
      };
    case 'same-part-closed-twice':
      return class extends LeaseManager {
        override closeUsed(entry: WindowEntry, nowMs: number): PermitClose[] {
          const closes = super.closeUsed(entry, nowMs);
          if (entry.lease !== null) (entry.lease as unknown as { told: number }).told = 0;
          return closes;
        }
      };
    case 'permits-handed-back-twice':
      return inside((one) => {
        const handBack = one.handBack.bind(one);
        one.handBack = (entry, closes) => handBack(entry, [...closes, ...closes]);
      });
    case 'permits-handed-back-and-kept':
      return inside((one) => {
        const drop = one.drop.bind(one);
        one.drop = (row, nowMs) => {
          const held = WINDOW_NAMES.map((name) => row[name].lease);
          drop(row, nowMs);
          WINDOW_NAMES.forEach((name, index) => (row[name].lease = held[index] ?? null));
        };
      });
  }
}

function inside(breakIt: (inside: Inside) => void): typeof LeaseManager {
  return class extends LeaseManager {
    constructor(...given: ConstructorParameters<typeof LeaseManager>) {
      super(...given);
      breakIt((this as unknown as { windows: Inside }).windows);
    }
  };
}
