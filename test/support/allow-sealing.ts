import type { TestDatabase } from './postgres.js';
import { asOwner } from './trail.js';

type Table = 'audit_sealing' | 'usage_archiving';

/** As what migrates says it for a server whose settings keep so many months; null: its settings keep all. */
export function allowSealing(database: TestDatabase, keepMonths: number | null): Promise<void> {
  return allow(database, 'audit_sealing', keepMonths);
}

/** The same of usage events. */
export function allowArchiving(database: TestDatabase, keepMonths: number | null): Promise<void> {
  return allow(database, 'usage_archiving', keepMonths);
}

function allow(database: TestDatabase, table: Table, keepMonths: number | null): Promise<void> {
  return asOwner(database, async (client) => {
    await client.query(`DELETE FROM ${table}`);
    if (keepMonths !== null) await client.query(`INSERT INTO ${table} (keep_months) VALUES ($1)`, [keepMonths]);
  });
}
