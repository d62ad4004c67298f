import { setTimeout as sleep } from 'node:timers/promises';
import type { TestApp } from './app.js';

/** So long a test may take that counts what is of this hour, or of today. */
const ROOM_SECONDS = 45;
/** Of a hook that waits for the next hour. */
export const HOUR_TIMEOUT_MS = 2 * ROOM_SECONDS * 1_000;

/** Waits for the next hour of the database's clock, where this one is nearly over. */
export async function withinOneHour(app: TestApp): Promise<void> {
  const [row] = await app.dataSource.query<{ left: number }[]>(
    'SELECT (3600 - extract(epoch FROM clock_timestamp()) % 3600)::float8 AS left',
  );
  if (row!.left < ROOM_SECONDS) await sleep(row!.left * 1_000 + 100);
}
