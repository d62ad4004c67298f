import type { WindowName } from './authority.js';
import { type RateRing, RING_SHAPES, grantPermits, slideRing } from './rate-ring.js';
import type { Sql } from './sql.js';

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
  readonly now_ms: string;
  readonly heads: string[];
  readonly sums: number[];
  readonly minute_cells: number[];
  readonly hour_cells: number[];
  readonly day_cells: number[];
}

/** The windows of a key, shortest first, for the limits that it has. Takes no lock and changes nothing. */
export async function readWindows(sql: Sql, keyId: string, limits: Readonly<Record<WindowName, number | null>>): Promise<WindowStanding[]> {
  const names = (['minute', 'hour', 'day'] as const).filter((name) => limits[name] !== null);
  if (names.length === 0) return [];
  const [row] = (await sql(
    `SELECT greatest(quota_ms(quota_clock()), at_ms) AS now_ms, heads, sums, minute_cells, hour_cells, day_cells FROM rate_window WHERE key_id = $1`,
    [keyId],
  )) as unknown as WindowsRow[];
  return names.map((window) => standingOf(window, limits[window]!, row));
}

function standingOf(window: WindowName, limit: number, row: WindowsRow | undefined): WindowStanding {
  if (row === undefined) return { window, limit, remaining: limit, resetMs: 0 };
  const ring = ringOf(window, row);
  const nowMs = Number(row.now_ms);
  slideRing(ring, RING_SHAPES[window], nowMs);
  // Asking for nothing takes nothing, and says what is left.
  const { free, resetMs } = grantPermits(ring, RING_SHAPES[window], nowMs, { limit, want: 0, needs: [], live: 1 });
  return { window, limit, remaining: free, resetMs };
}

function ringOf(window: WindowName, row: WindowsRow): RateRing {
  const index = { minute: 0, hour: 1, day: 2 }[window];
  const cells = { minute: row.minute_cells, hour: row.hour_cells, day: row.day_cells }[window];
  return { head: Number(row.heads[index]), sum: row.sums[index] ?? 0, cells: [...cells] };
}
