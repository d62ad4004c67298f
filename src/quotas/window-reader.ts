import type { WindowName } from './quota-store.js';
import {
  type RateRing,
  type RingShape,
  RING_SHAPES,
  emptyRing,
  grantPermits,
  pulledBucket,
  rowClockMs,
} from './rate-ring.js';
import type { Sql } from './sql.js';

const COUNT_BITS = 32n;

/** What is left of one rate limit, as it stands in the database. */
export interface WindowStanding {
  readonly window: WindowName;
  readonly limit: number;
  /** Permits in the hands of replicas count as used. */
  readonly remaining: number;
  /** Until the window is whole again, if nothing more is used. */
  readonly resetMs: number;
}

interface WindowsRow {
  readonly at_ms: string;
  readonly clock_ms: string;
  readonly minute_cells: string[];
  readonly hour_cells: string[];
  readonly day_cells: string[];
}

/** The windows of a key, shortest first, for the limits that it has. Takes no lock and changes nothing. */
export async function readWindows(
  sql: Sql,
  keyId: string,
  limits: Readonly<Record<WindowName, number | null>>,
): Promise<WindowStanding[]> {
  const names = (['minute', 'hour', 'day'] as const).filter((name) => limits[name] !== null);
  if (names.length === 0) return [];
  const [row] = (await sql(
    `SELECT at_ms, quota_ms(quota_clock()) AS clock_ms, minute_cells, hour_cells, day_cells FROM rate_window WHERE key_id = $1`,
    [keyId],
  )) as unknown as WindowsRow[];
  return names.map((window) => standingOf(window, limits[window]!, row));
}

/**
 * Seconds until a window is whole again, at most as many as it has. Permits that a replica was granted for the next
 * seconds are counted when they would be used last, which is up to two seconds later.
 */
export function resetSecondsOf(window: WindowName, resetMs: number): number {
  return Math.ceil(Math.min(resetMs, RING_SHAPES[window].lengthMs) / 1000);
}

function standingOf(window: WindowName, limit: number, row: WindowsRow | undefined): WindowStanding {
  if (row === undefined) return { window, limit, remaining: limit, resetMs: 0 };
  const clockMs = Number(row.clock_ms);
  const nowMs = rowClockMs(Number(row.at_ms), clockMs);
  const cells = { minute: row.minute_cells, hour: row.hour_cells, day: row.day_cells }[window];
  const ring = ringOf(RING_SHAPES[window], cells, Number(row.at_ms), nowMs);
  // Asking for nothing takes nothing, and says what is left.
  const { free, resetMs } = grantPermits(
    ring,
    RING_SHAPES[window],
    nowMs,
    { limit, want: 0, needs: [], live: 1 },
    clockMs,
  );
  return { window, limit, remaining: free, resetMs };
}

/**
 * The ring that a row's list of cells (`bucket * 2^32 + permits`, oldest first) stands for at `nowMs`: a window that
 * was not asked for lately still lists buckets that have left it, and one that was written while the clock was ahead
 * lists buckets that cannot be yet.
 */
export function ringOf(shape: RingShape, cells: readonly string[], atMs: number, nowMs: number): RateRing {
  const ring = emptyRing(shape, nowMs);
  const oldest = ring.head - shape.lengthMs / shape.bucketMs;
  for (const text of cells) {
    const cell = BigInt(text);
    const listed = Number(cell >> COUNT_BITS);
    const bucket = nowMs < atMs ? pulledBucket(listed, shape, atMs, nowMs) : listed;
    if (bucket < oldest) continue;
    const count = Number(BigInt.asUintN(32, cell));
    ring.cells[bucket % shape.cells] = (ring.cells[bucket % shape.cells] ?? 0) + count;
    ring.sum += count;
  }
  return ring;
}
