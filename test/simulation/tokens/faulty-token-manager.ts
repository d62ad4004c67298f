import type { Admission, AdmitRequest, CountedDraw, ReservationParts } from '../../../src/quotas/admission.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import { NO_LEASE } from '../../../src/quotas/quota-store.js';
import { isOfTokens, markOf, readMark, weightIn } from '../../../src/quotas/token-windows.js';
import type { WindowEntry } from '../../../src/quotas/window-entry.js';
import type { TokenDrawFault } from './token-fault.js';

interface Inside {
  hold: (request: AdmitRequest, slots: unknown, nowMs: number) => ReservationParts;
  withCounted: (request: AdmitRequest, verdict: Admission) => Admission;
  windowEntry: (window: unknown) => WindowEntry | null;
  readonly foundWindows: (WindowEntry | null)[];
}

/** A lease manager that breaks one rule of windows of tokens. */
export function faultyTokenManager(fault: TokenDrawFault): typeof LeaseManager {
  return class extends LeaseManager {
    constructor(...of: ConstructorParameters<typeof LeaseManager>) {
      super(...of);
      BREAKS[fault]?.(this as unknown as Inside);
    }

    override admit(request: AdmitRequest): Admission | Promise<Admission> {
      if (fault !== 'call-weighs-its-cost') return super.admit(request);
      return super.admit({ ...request, reserveTokens: request.reserveTokens === 0n ? 0n : 1n });
    }

    protected override deadline(sentMs: number, validForMs: number, receivedMs: number): number {
      const later = fault === 'lease-outlives-its-second' ? 8_000 : 0;
      return super.deadline(sentMs, validForMs, receivedMs) + later;
    }
  };
}

const BREAKS: Partial<Record<TokenDrawFault, (inside: Inside) => void>> = {
  'draws-from-two-leases': (inside) => {
    const windowEntry = inside.windowEntry.bind(inside);
    inside.windowEntry = (window) => {
      const entry = windowEntry(window);
      if (entry !== null && isOfTokens(entry)) Object.assign(entry, { covers: coversOfRequests });
      return entry;
    };
  },
  'undo-gives-back-twice': (inside) => {
    const withCounted = inside.withCounted.bind(inside);
    inside.withCounted = (request, verdict) => {
      const known = withCounted(request, verdict);
      if (!known.admitted) return known;
      const draws = request.windows.flatMap((window, index): CountedDraw[] => {
        const lease = inside.foundWindows[index]?.lease ?? null;
        const cost = weightIn(request, window);
        return lease === null || !isOfTokens(window) ? [] : [{ lease, cost, told: lease.told }];
      });
      return { ...known, counted: [...(known.counted ?? []), ...draws] };
    };
  },
  'reservation-names-no-bucket': (inside) => changeHolds(inside, () => NO_LEASE),
  'reservation-names-the-next-bucket': (inside) =>
    changeHolds(inside, (mark) => {
      if (mark === NO_LEASE) return mark;
      const { epoch, bucket } = readMark(mark);
      return markOf(epoch, bucket + 1);
    }),
};

function changeHolds(inside: Inside, change: (mark: string) => string): void {
  const hold = inside.hold.bind(inside);
  inside.hold = (...of) => {
    const parts = hold(...of);
    return { ...parts, holds: parts.holds.map((one) => ({ ...one, leaseId: change(one.leaseId) })) };
  };
}

/** As that of windows of requests, whose calls need no one bucket. */
function coversOfRequests(this: WindowEntry, cost: number, limit: number, mayStand: boolean, nowMs: number): boolean {
  const asRequests = Object.create(this, { of: { value: undefined } }) as WindowEntry;
  return Object.getPrototypeOf(this).covers.call(asRequests, cost, limit, mayStand, nowMs) as boolean;
}
