/** What a call draws from a lease stays in it. */
import { LeaseManager } from '../../../dist/src/quotas/lease-manager.js';

const { attempt } = LeaseManager.prototype;

LeaseManager.prototype.attempt = function attemptAndRefill(request, waiter, nowMs) {
  const verdict = attempt.call(this, request, waiter, nowMs);
  if (verdict?.admitted === true && request.reserve > 0n) {
    for (const lease of this.foundLeases) if (lease) lease.remaining += request.reserve;
  }
  return verdict;
};
