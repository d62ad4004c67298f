import type { DataSource } from 'typeorm';
import { FAR_AHEAD_MS } from './rate-ring.js';

const MOST_NAMED = 10;

/** Rate windows and leases that were written while the database's clock was ahead of what it says now. */
export async function findFutureRows(dataSource: DataSource): Promise<string[]> {
  const windows = await dataSource.query<{ key_id: string; ahead_ms: string }[]>(
    `SELECT key_id, at_ms - quota_ms(quota_clock()) AS ahead_ms FROM rate_window
      WHERE at_ms > quota_ms(quota_clock()) + ${FAR_AHEAD_MS} ORDER BY at_ms DESC LIMIT ${MOST_NAMED}`,
  );
  const leases = await dataSource.query<{ id: string; key_id: string; ahead_ms: string }[]>(
    `SELECT l.id, l.key_id, quota_ms(coalesce(l.held_from, l.granted_at)) - quota_ms(quota_clock()) AS ahead_ms
       FROM budget_lease l JOIN quota_future_leases_2(${MOST_NAMED}) f ON f.lease_id = l.id ORDER BY ahead_ms DESC`,
  );
  return [
    ...windows.map(
      ({ key_id: id, ahead_ms: ms }) =>
        `rate windows of key ${id} were counted ${seconds(ms)} s in the future; its next call pulls them back`,
    ),
    ...leases.map(
      ({ id, key_id: keyId, ahead_ms: ms }) =>
        `lease ${id} of key ${keyId} was granted or renewed ${seconds(ms)} s in the future; a replica closes it when its hold is over`,
    ),
  ];
}

function seconds(ms: string): number {
  return Math.round(Number(ms) / 1000);
}
