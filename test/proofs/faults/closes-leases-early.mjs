/** The janitor closes leases whose hold has not ended. */
import { ClockWatch } from '../../../dist/src/quotas/clock-watch.js';

ClockWatch.prototype.closeOrder = (_nowMs, limit) => ({ beforeMs: Date.now() + 3_600_000, watchedMs: 86_400_000, limit });
