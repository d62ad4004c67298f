import type { EntityManager } from 'typeorm';

/**
 * How many whole months of the trail the owner of the schema keeps in the database; null: no entry may be removed. The
 * settings of what migrates the schema say it.
 */
export async function allowedMonths(manager: EntityManager): Promise<number | null> {
  const [row] = await manager.query<{ months: number }[]>('SELECT keep_months AS months FROM audit_sealing');
  return row?.months ?? null;
}

/** Why nothing is sealed where the owner of the schema has not allowed it, and what to do. */
export const NOT_ALLOWED =
  'No entry of the audit trail may be removed: what migrated the schema last did so without AUDIT_KEEP_MONTHS. Set AUDIT_KEEP_MONTHS and AUDIT_ARCHIVE_DIR there as well, and migrate again (a start with DATABASE_MIGRATION_URL, or migration:run).';
