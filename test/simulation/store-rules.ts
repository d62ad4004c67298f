import { monthOf } from '../../src/quotas/period.js';
import type { Account, Period, PermitClose, WindowGrant } from '../../src/quotas/quota-store.js';
import { cellOf, latestBucket, PERMIT_MS } from '../../src/quotas/rate-ring.js';
import type { RateRing, RingShape } from '../../src/quotas/rate-ring.js';

// What the product leaves to functions of PostgreSQL, written a second time for the model of the quota store.

/**
 * How much one acquire may take: what is needed now, or as much as is wanted up to a fair share of the room, and
 * exactly what is needed near the limit, so that the last cents are reachable from every replica.
 * `room` is what is free before `need` is taken; `need` ≤ `room`.
 * @see docs/quotas.md
 */
export function budgetSlice(need: bigint, want: bigint, room: bigint, limit: bigint | null, live: number): bigint {
  if (limit === null || need === 0n || room < 8n * need || room * 50n < limit) return need;
  const share = room / BigInt(4 * live);
  const extra = want < share ? want : share;
  return extra > need ? extra : need;
}

/** The period that an account means at an instant. */
export function periodOf(account: Account, ms: number): Period {
  return account.type === 'total' ? 'total' : monthOf(ms);
}

/**
 * Closes a lease of permits: they leave the bucket of their deadline, the used ones go into the current bucket if that
 * is earlier (their use lies before now and before the deadline, so either is conservative). A bucket no longer held
 * is ignored: its calls left the window. So is one after every deadline at `nowMs`: its permits were pulled back, and
 * count in full.
 */
export function closePermits(ring: RateRing, shape: RingShape, nowMs: number, close: PermitClose): void {
  const oldest = ring.head - shape.lengthMs / shape.bucketMs;
  if (close.bucket < oldest || close.bucket > latestBucket(shape, nowMs)) return;
  const cell = cellOf(close.bucket, ring.cells.length);
  const held = ring.cells[cell] ?? 0;
  // Fewer than granted: the grant was lost with a crash of the store; others' permits must stay.
  const removed = held >= close.granted ? close.granted : 0;
  ring.cells[cell] = held - removed;
  const current = cellOf(Math.min(ring.head, close.bucket), ring.cells.length);
  ring.cells[current] = (ring.cells[current] ?? 0) + close.used;
  ring.sum += close.used - removed;
}

/** A fault: counts what was granted in another bucket than that of its deadline. */
export function countIn(bucket: number, ring: RateRing, grant: WindowGrant): WindowGrant {
  const moves = [
    [grant.bucket, -grant.permits],
    [bucket, grant.permits],
  ] as const;
  for (const [at, permits] of moves) {
    const cell = cellOf(at, ring.cells.length);
    ring.cells[cell] = (ring.cells[cell] ?? 0) + permits;
  }
  return { ...grant, bucket };
}

/** The bucket of a grant's deadline, or that of a deadline in 15 s if it is later. */
export function nearestTo({ bucket }: WindowGrant, { bucketMs }: RingShape, nowMs: number): number {
  return Math.min(bucket, Math.floor((nowMs + PERMIT_MS) / bucketMs));
}
