import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { TestApp } from './app.js';
import { PATIENCE_MS } from './eventually.js';
import type { TestDatabase } from './postgres.js';

/** A row of the trail, as far as tests look at it. */
export interface TrailRow {
  seq: string;
  actor_kind: string;
  actor_id: string | null;
  action: string;
  resource_type: string;
  resource_id: string | null;
  outcome: string;
  request_id: string | null;
  changes: { field: string; before: unknown; after: unknown }[];
  details: Record<string, unknown>;
  body: string;
  hash: Buffer;
}

/** Both chains of the trail. */
const BOTH = '(SELECT * FROM audit_event UNION ALL SELECT * FROM audit_read)';

/** Rows of the trail that fulfil `condition`, oldest first. */
export function trailRows(app: TestApp, condition = 'true', parameters: unknown[] = []): Promise<TrailRow[]> {
  return app.dataSource.query(`SELECT * FROM ${BOTH} AS trail WHERE ${condition} ORDER BY at, seq`, parameters);
}

/** Waits until `condition` finds `count` rows; group commits come a moment after the answer. */
export async function trailRowsOnce(
  app: TestApp,
  count: number,
  condition: string,
  parameters: unknown[] = [],
): Promise<TrailRow[]> {
  for (const deadlineMs = performance.now() + PATIENCE_MS; performance.now() < deadlineMs;) {
    const rows = await trailRows(app, condition, parameters);
    if (rows.length >= count) return rows;
    await sleep(20);
  }
  throw new Error(`There are no ${count} rows where ${condition}.`);
}

/** A session of the database's owner, who may do what the application may not. */
export async function asOwner<T>(database: TestDatabase, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: database.ownerUrl });
  await client.connect();
  return work(client).finally(() => client.end());
}

/** What a change left in the trail about one thing, oldest first: reads and refusals left out. */
export async function trailOf(app: TestApp, resourceId: string): Promise<TrailRow[]> {
  return trailRows(app, `resource_id = $1 AND outcome = 'success' AND action NOT LIKE '%:read'`, [resourceId]);
}
