import type { TestApp } from './app.js';

export interface TrailRow {
  action: string;
  actor_kind: string;
  actor_id: string | null;
  resource_type: string;
  resource_id: string;
  changes: { field: string; before: unknown; after: unknown }[];
  details: Record<string, unknown>;
}

/** The audit trail about one thing, oldest first. */
export async function trailOf(app: TestApp, resourceId: string): Promise<TrailRow[]> {
  return app.dataSource.query<TrailRow[]>('SELECT * FROM audit_event WHERE resource_id = $1 ORDER BY seq', [resourceId]);
}
