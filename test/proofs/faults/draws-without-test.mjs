/** What a call draws from a lease stays in it. */
import { Ledger } from '../../../dist/src/quotas/ledger.js';

const { attempt } = Ledger.prototype;

Ledger.prototype.attempt = function attemptAndRefill(request, waiter, nowMs) {
  const verdict = attempt.call(this, request, waiter, nowMs);
  if (verdict?.admitted === true && request.reserve > 0n) {
    for (const lease of this.foundLeases) if (lease) lease.remaining += request.reserve;
  }
  return verdict;
};
