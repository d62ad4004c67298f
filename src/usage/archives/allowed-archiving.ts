import type { DataSource } from 'typeorm';

/**
 * How many whole months of usage events the owner of the schema keeps in the database; null: none may be archived. The
 * settings of what migrates the schema say it.
 */
export async function allowedArchiving(dataSource: DataSource): Promise<number | null> {
  const [row] = await dataSource.query<{ months: number }[]>('SELECT keep_months AS months FROM usage_archiving');
  return row?.months ?? null;
}

/** Why nothing is archived where the owner of the schema has not allowed it, and what to do. */
export const ARCHIVING_NOT_ALLOWED =
  'No usage event may be archived: what migrated the schema last did so without USAGE_EVENTS_KEEP_MONTHS. Set USAGE_EVENTS_KEEP_MONTHS and USAGE_ARCHIVE_DIR there as well, and migrate again (a start with DATABASE_MIGRATION_URL, or migration:run).';
