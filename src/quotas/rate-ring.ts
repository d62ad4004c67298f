import type { WindowGrant, WindowName } from './quota-store.js';
import { aheadSlice, permitSlice } from './grant-size.js';

/** The life of a standing lease: few permits of a key that is far from all its limits. The longest there is. */
export const STANDING_MS = 3_600_000;
/** The longest life of any other permit lease. */
export const PERMIT_MS = 15_000;
/** The life of a permit lease that is exact, or large against the limit. */
export const SHORT_PERMIT_MS = 1_000;

/** A window stands on the last eighth of its limit: nothing is granted for longer than `PERMIT_MS`. */
const SCARCE_PART = 8;
/**
 * A standing lease has no more than the few beyond what was needed when it was granted, which is used at once; with
 * that, no more than so many times the few, as all of it counts far ahead until it is closed.
 */
const STANDING_FACTOR = 2;

/** A row further ahead of the clock than this was written while the clock was ahead: it is pulled back. */
export const FAR_AHEAD_MS = PERMIT_MS;

/** The instant at which a row counts: never before the one it was written at, unless that is far ahead of the clock. */
export function rowClockMs(atMs: number, clockMs: number): number {
  return atMs > clockMs + FAR_AHEAD_MS ? clockMs : Math.max(atMs, clockMs);
}

/** The shape of one window: its length, its buckets and the cells of its ring. */
export interface RingShape {
  readonly lengthMs: number;
  readonly bucketMs: number;
  readonly cells: number;
}

function shape(lengthMs: number, bucketMs: number): RingShape {
  return { lengthMs, bucketMs, cells: cellsFor(lengthMs, bucketMs) };
}

/**
 * Cells that a ring needs: the window, the future in which permits may be counted, and two for the buckets that the
 * edges cut. With fewer, a deadline's bucket shares a cell with one that still counts.
 */
export function cellsFor(lengthMs: number, bucketMs: number, longestMs = STANDING_MS): number {
  return Math.ceil((lengthMs + longestMs) / bucketMs) + 2;
}

/** The three windows. The SQL of the migration knows the same numbers. */
export const RING_SHAPES: Readonly<Record<WindowName, RingShape>> = {
  minute: shape(60_000, 2_000),
  hour: shape(3_600_000, 60_000),
  day: shape(86_400_000, 900_000),
};

/**
 * Counts of one window by absolute bucket number (`cells[bucket mod length]`), with their running sum. All buckets
 * that are held reach into the window that ends in bucket `head`, or lie ahead of it.
 */
export interface RateRing {
  head: number;
  sum: number;
  readonly cells: number[];
}

/** The same window without room for standing leases: for a ring that grants none. */
export function withoutStanding({ lengthMs, bucketMs }: RingShape): RingShape {
  return { lengthMs, bucketMs, cells: cellsFor(lengthMs, bucketMs, PERMIT_MS) };
}

/** A ring that counts nothing yet. */
export function emptyRing(shape: RingShape, nowMs: number): RateRing {
  return { head: Math.floor(nowMs / shape.bucketMs), sum: 0, cells: new Array<number>(shape.cells).fill(0) };
}

/** The bucket of the latest deadline that a permit lease can have at `nowMs`. */
export function latestBucket(shape: RingShape, nowMs: number): number {
  return Math.floor((nowMs + STANDING_MS) / shape.bucketMs);
}

/**
 * Takes back a ring whose row was written at `writtenMs`, while the clock was ahead: what is counted in a bucket that
 * lies too far ahead now is counted in the last one there can be for its kind of lease. No permit is used after it, so
 * each one counts for one whole window from its use.
 */
export function pullBackRing(ring: RateRing, shape: RingShape, writtenMs: number, nowMs: number): void {
  const size = ring.cells.length;
  const oldest = ring.head - shape.lengthMs / shape.bucketMs;
  const held = ring.cells.map((_, index) => ring.cells[cellOf(oldest + index, size)] ?? 0);
  ring.cells.fill(0);
  // The row was ahead, this window of it is not: it was not asked for meanwhile.
  ring.head = Math.min(ring.head, Math.floor(nowMs / shape.bucketMs));
  held.forEach((count, index) => {
    if (count === 0) return;
    const cell = cellOf(pulledBucket(oldest + index, shape, writtenMs, nowMs), size);
    ring.cells[cell] = (ring.cells[cell] ?? 0) + count;
  });
}

/** Where a bucket counts once its row is pulled back. */
export function pulledBucket(bucket: number, { bucketMs }: RingShape, writtenMs: number, nowMs: number): number {
  const isStanding = bucket > nearestBucket(Math.floor(writtenMs / bucketMs), bucketMs);
  return Math.min(bucket, Math.floor((nowMs + (isStanding ? STANDING_MS : PERMIT_MS)) / bucketMs));
}

/** Moves the head to `nowMs` and forgets the buckets that no longer reach into the window. The head never goes back. */
export function slideRing(ring: RateRing, shape: RingShape, nowMs: number): void {
  const head = Math.floor(nowMs / shape.bucketMs);
  if (head <= ring.head) return;
  const size = ring.cells.length;
  const reach = shape.lengthMs / shape.bucketMs;
  const leaving = Math.min(head - ring.head, size);
  for (let bucket = ring.head - reach; bucket < ring.head - reach + leaving; bucket++) {
    const cell = cellOf(bucket, size);
    ring.sum -= ring.cells[cell] ?? 0;
    ring.cells[cell] = 0;
  }
  ring.head = head;
}

/** What is asked of a ring at once. */
export interface RingAsk {
  readonly limit: number;
  readonly want: number;
  /** Empty: permits are asked for ahead, and nothing waits for them. */
  readonly needs: readonly number[];
  /** So many are few for the key: they may be held for `STANDING_MS`. Absent or 0: none may. */
  readonly few?: number;
  readonly live: number;
}

/**
 * Grants, in order, each need that fits, and counts the permits in the bucket of their deadline. Slide first.
 * In any interval of the window's length at most `limit` permits so granted are used: of the grants used in it take
 * the last; every other permit used in it was counted, in a bucket not before its use, when that one was made.
 * `clockMs` is the clock itself where `nowMs`, the row's, may be ahead of it: what the caller waits for is measured
 * from it.
 */
export function grantPermits(
  ring: RateRing,
  shape: RingShape,
  nowMs: number,
  ask: RingAsk,
  clockMs = nowMs,
): WindowGrant {
  const room = Math.max(0, ask.limit - ring.sum);
  let left = room;
  const verdicts = ask.needs.map((need) => {
    const fits = need <= left;
    if (fits) left -= need;
    return fits;
  });
  const need = room - left;
  const permits =
    ask.needs.length === 0
      ? aheadSlice(ask.want, room, ask.limit, ask.live)
      : permitSlice(need, ask.want, room, ask.limit, ask.live);
  const validForMs = lifeOf(permits, need, room, ask);
  const bucket = Math.floor((nowMs + validForMs) / shape.bucketMs);
  const cell = cellOf(bucket, ring.cells.length);
  ring.cells[cell] = (ring.cells[cell] ?? 0) + permits;
  ring.sum += permits;
  const refused = ask.needs[verdicts.indexOf(false)];
  return {
    verdicts,
    permits,
    bucket,
    validForMs,
    free: Math.max(0, ask.limit - ring.sum),
    resetMs: resetMs(ring, shape, clockMs),
    retryMs: refused === undefined ? 0 : retryMs(ring, shape, clockMs, ask.limit, refused),
  };
}

/** How long granted permits may be used. */
function lifeOf(permits: number, need: number, room: number, { limit, few = 0 }: RingAsk): number {
  if (permits === need) return SHORT_PERMIT_MS;
  const isScarce = (room - permits) * SCARCE_PART < limit;
  if (!isScarce && permits - need <= few && permits <= STANDING_FACTOR * few) return STANDING_MS;
  return permits * 8 <= limit ? PERMIT_MS : SHORT_PERMIT_MS;
}

/**
 * Until the newest counted bucket has left the window. Standing leases are left out, as they count far ahead: they say
 * nothing of what a caller has used.
 */
function resetMs(ring: RateRing, shape: RingShape, nowMs: number): number {
  if (ring.sum === 0) return 0;
  const reach = shape.lengthMs / shape.bucketMs;
  for (let bucket = nearestBucket(ring.head, shape.bucketMs); bucket >= ring.head - reach; bucket--) {
    if ((ring.cells[cellOf(bucket, ring.cells.length)] ?? 0) > 0) return (bucket + reach + 1) * shape.bucketMs - nowMs;
  }
  return 0;
}

/**
 * Until `need` permits are free, if nobody else takes any; 0 if it can never fit. Where they are free only once a
 * standing lease is closed, until all else has left.
 */
function retryMs(ring: RateRing, shape: RingShape, nowMs: number, limit: number, need: number): number {
  const reach = shape.lengthMs / shape.bucketMs;
  if (need > limit) return 0;
  let free = limit - ring.sum;
  let newest: number | null = null;
  for (let bucket = ring.head - reach; bucket <= nearestBucket(ring.head, shape.bucketMs); bucket++) {
    const count = ring.cells[cellOf(bucket, ring.cells.length)] ?? 0;
    if (count === 0) continue;
    newest = bucket;
    free += count;
    if (free >= need) break;
  }
  return newest === null ? SHORT_PERMIT_MS : (newest + reach + 1) * shape.bucketMs - nowMs;
}

/** The last bucket in which permits may count that are not those of a standing lease. */
function nearestBucket(head: number, bucketMs: number): number {
  return head + Math.ceil(PERMIT_MS / bucketMs);
}

/** Where a ring keeps a bucket. */
export function cellOf(bucket: number, size: number): number {
  return ((bucket % size) + size) % size;
}
