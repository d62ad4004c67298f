import type { AcquireCall } from '../../src/quotas/acquire-call.js';
import type { Admission, AdmitRequest } from '../../src/quotas/admission.js';
import type { AcquireAnswer, LeaseReturn } from '../../src/quotas/quota-store.js';
import type { BudgetLease } from '../../src/quotas/lease.js';
import { LeaseManager } from '../../src/quotas/lease-manager.js';
import type { WindowEntry } from '../../src/quotas/window-entry.js';

/** Ways to break a lease manager, one at a time. */
export type LeaseManagerFault =
  | 'deadline-without-margin'
  | 'late-grant-used-and-returned'
  | 'returns-under-two-numbers'
  | 'suspension-not-noticed'
  | 'refusal-consumes'
  | 'draws-without-test';

interface Inside {
  attempt(request: AdmitRequest, waiter: unknown, nowMs: number): Admission | null;
  cancel(record: unknown): void;
  readonly back: { addLease(back: LeaseReturn): void };
  readonly foundWindows: WindowEntry[];
}

/** A lease manager with one rule broken. */
export function faultyLedger(fault: LeaseManagerFault): typeof LeaseManager {
  switch (fault) {
    case 'deadline-without-margin':
      return class extends LeaseManager {
        protected override deadline(_sentMs: number, validForMs: number, receivedMs: number): number {
          return receivedMs + validForMs;
        }
      };
    case 'late-grant-used-and-returned':
      return class extends LeaseManager {
        protected override isLate(): boolean {
          return false;
        }
        override answered(call: AcquireCall, answer: AcquireAnswer): void {
          super.answered(call, answer);
          if (call.isAbandoned) for (const record of call.budgets) (this as unknown as Inside).cancel(record);
        }
      };
    case 'returns-under-two-numbers':
      return class extends LeaseManager {
        protected override empty(lease: BudgetLease): bigint {
          const amount = super.empty(lease);
          const { back } = this as unknown as Inside;
          this.later(() => back.addLease({ leaseId: lease.id, number: 2, amount }));
          return amount;
        }
        private later(run: () => void): void {
          (this as unknown as { clock: { after(ms: number, run: () => void): void } }).clock.after(100, run);
        }
      };
    case 'suspension-not-noticed':
      return class extends LeaseManager {
        protected override wasSuspended(): boolean {
          return false;
        }
      };
    case 'refusal-consumes':
      return broken((inside, request, verdict) => {
        if (verdict?.admitted !== false || verdict.code !== 'BUDGET_EXCEEDED') return;
        request.windows.forEach((_, index) => {
          const lease = inside.foundWindows[index]?.lease;
          if (lease && lease.remaining >= request.cost) lease.used += request.cost;
        });
      });
    case 'draws-without-test':
      return broken((inside, request, verdict) => {
        if (verdict?.admitted !== true || request.reserve === 0n) return;
        const parts = (inside as unknown as { foundLeases: (BudgetLease | null)[] }).foundLeases;
        // Gives back to memory what was just drawn: what remains grows.
        for (const lease of parts) if (lease) lease.remaining += request.reserve;
      });
  }
}

function broken(
  after: (inside: Inside, request: AdmitRequest, verdict: Admission | null) => void,
): typeof LeaseManager {
  return class extends LeaseManager {
    constructor(...given: ConstructorParameters<typeof LeaseManager>) {
      super(...given);
      const inside = this as unknown as Inside;
      const attempt = inside.attempt.bind(this);
      inside.attempt = (request, waiter, nowMs) => {
        const verdict = attempt(request, waiter, nowMs);
        after(inside, request, verdict);
        return verdict;
      };
    }
  };
}
