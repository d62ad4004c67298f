import type { TestDatabase } from './postgres.js';
import { asOwner } from './trail.js';

/** As what migrates says it for a server whose settings keep so many months; null: its settings keep all. */
export function allowSealing(database: TestDatabase, keepMonths: number | null): Promise<void> {
  return asOwner(database, async (client) => {
    await client.query('DELETE FROM audit_sealing');
    if (keepMonths !== null) await client.query('INSERT INTO audit_sealing (keep_months) VALUES ($1)', [keepMonths]);
  });
}
