import { type Admission, type AdmitRequest, isCounted } from '../../../src/quotas/admission.js';
import type { BudgetEntry } from '../../../src/quotas/budget-entry.js';
import type { BudgetLease } from '../../../src/quotas/lease.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import type { LimitDrawFault } from './limit-store-fault.js';

interface Inside {
  attempt(request: AdmitRequest, waiter: unknown, nowMs: number): Admission | null;
  readonly foundAccounts: BudgetEntry[];
  readonly foundLeases: (BudgetLease | null)[];
}

/** A lease manager that breaks one rule of requests. */
export function faultyLimitManager(fault: LimitDrawFault): typeof LeaseManager {
  switch (fault) {
    case 'refused-call-takes-a-request':
      return class extends LeaseManager {
        constructor(...of: ConstructorParameters<typeof LeaseManager>) {
          super(...of);
          const inside = this as unknown as Inside;
          const attempt = inside.attempt.bind(this);
          inside.attempt = (request, waiter, nowMs) => {
            const verdict = attempt(request, waiter, nowMs);
            if (verdict?.admitted === false) request.accounts.forEach((account, at) => takeOne(inside, account.id, at));
            return verdict;
          };
        }
      };
    case 'cost-counts-as-one':
      return class extends LeaseManager {
        override admit(request: AdmitRequest): Admission | Promise<Admission> {
          return super.admit({ ...request, cost: 1 });
        }
      };
    case 'absent-subject-opens':
      // It is the one who asks that lets the call pass.
      return LeaseManager;
    case 'undone-call-stays-counted':
      return class extends LeaseManager {
        override uncount(): void {}
      };
  }
}

function takeOne({ foundAccounts, foundLeases }: Inside, accountId: string, at: number): void {
  const [account, lease] = [foundAccounts[at]?.account, foundLeases[at] ?? null];
  if (account?.id === accountId && isCounted(account) && lease !== null && lease.remaining > 0n) lease.remaining -= 1n;
}
