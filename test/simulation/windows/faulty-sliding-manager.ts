import type { Admission, AdmitRequest } from '../../../src/quotas/admission.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import type { WindowEntry } from '../../../src/quotas/window-entry.js';
import type { SlidingDrawFault } from './sliding-fault.js';

interface Inside {
  attempt(request: AdmitRequest, waiter: unknown, nowMs: number): Admission | null;
  readonly foundWindows: (WindowEntry | null)[];
}

/** A lease manager that breaks one rule of windows of limits. */
export function faultySlidingManager(fault: SlidingDrawFault): typeof LeaseManager {
  switch (fault) {
    case 'change-drops-nothing':
      return class extends LeaseManager {
        override dropLimit(): void {}
      };
    case 'refused-call-takes-permits':
      return class extends LeaseManager {
        constructor(...of: ConstructorParameters<typeof LeaseManager>) {
          super(...of);
          const inside = this as unknown as Inside;
          const attempt = inside.attempt.bind(this);
          inside.attempt = (request, waiter, nowMs) => {
            const verdict = attempt(request, waiter, nowMs);
            if (verdict?.admitted === false)
              request.windows.forEach((_, at) => takeOne(inside.foundWindows[at], nowMs));
            return verdict;
          };
        }
      };
    case 'takes-from-the-first-window-only':
      return class extends LeaseManager {
        override admit(request: AdmitRequest): Admission | Promise<Admission> {
          return super.admit({ ...request, windows: request.windows.slice(0, 1) });
        }
      };
    case 'cost-counts-as-one':
      return class extends LeaseManager {
        override admit(request: AdmitRequest): Admission | Promise<Admission> {
          return super.admit({ ...request, cost: 1 });
        }
      };
    // Its caller leaves the windows out.
    case 'call-without-model-escapes':
      return LeaseManager;
  }
}

function takeOne(entry: WindowEntry | null | undefined, nowMs: number): void {
  const lease = entry?.lease ?? null;
  if (lease !== null && lease.remaining > 0) lease.draw(1, nowMs);
}
