import type { QueryRunner } from 'typeorm';
import type { Config } from '../config/config.js';
import type { SchemaLog } from './schema/runner.js';

/**
 * What the settings of a server let the application remove: how many whole months stay in the database. Null: all stay.
 * Left out: as it was.
 */
export interface OwnerTerms {
  /** Of the audit trail: older entries may be sealed and removed. */
  readonly auditKeepMonths?: number | null;
  /** Of usage events: older ones may be archived and dropped. */
  readonly usageKeepMonths?: number | null;
}

export function ownerTermsOf({
  auditArchive,
  usageArchive,
}: Pick<Config, 'auditArchive' | 'usageArchive'>): Required<OwnerTerms> {
  return { auditKeepMonths: auditArchive?.keepMonths ?? null, usageKeepMonths: usageArchive?.keepMonths ?? null };
}

/** Each has a table of one row, or none, which the application can only read. */
const TERMS = [
  {
    name: 'auditKeepMonths',
    table: 'audit_sealing',
    ends: 'No entry of the audit trail may be removed from now on: AUDIT_KEEP_MONTHS is not set.',
    begins: (months: number) =>
      `Entries of the audit trail may be sealed and removed once they are ${months} whole months old.`,
  },
  {
    name: 'usageKeepMonths',
    table: 'usage_archiving',
    ends: 'No usage event may be archived from now on: USAGE_EVENTS_KEEP_MONTHS is not set.',
    begins: (months: number) => `Usage events may be archived and dropped once they are ${months} whole months old.`,
  },
] as const;

/** The application removes nothing of these but what the rows give free: a server's settings say which. */
export async function setOwnerTerms(owner: QueryRunner, terms: OwnerTerms, log: SchemaLog): Promise<void> {
  for (const { name, table, ends, begins } of TERMS) {
    const months = terms[name];
    if (months === null) {
      const [, removed] = (await owner.query(`DELETE FROM ${table}`)) as [unknown, number];
      if (removed > 0) log(ends);
    } else if (months !== undefined) {
      const changed = (await owner.query(
        `INSERT INTO ${table} AS t (keep_months) VALUES ($1)
         ON CONFLICT (id) DO UPDATE SET keep_months = EXCLUDED.keep_months WHERE t.keep_months <> EXCLUDED.keep_months
         RETURNING keep_months`,
        [months],
      )) as unknown[];
      if (changed.length > 0) log(begins(months));
    }
  }
}
