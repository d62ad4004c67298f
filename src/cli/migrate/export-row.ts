import { StartRefusal } from '../../common/start-refusal.js';

/** One key as another system exports it. */
export type ExportRow = Readonly<Record<string, unknown>>;

/** A row that cannot become a key. The message says why, without a secret. */
export class RowRefusal extends Error {
  override readonly name = 'RowRefusal';
}

/** Whether a value of JSON is an object. */
export function isRow(value: unknown): value is ExportRow {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The objects of a list; null where it is no list. */
export function rowsOf(value: unknown): ExportRow[] | null {
  return Array.isArray(value) ? value.map((row: unknown) => (isRow(row) ? row : {})) : null;
}

/** The first text that is not empty. */
export function textOf(...values: readonly unknown[]): string | null {
  for (const value of values) if (typeof value === 'string' && value !== '') return value;
  return null;
}

/** A list of texts; what some databases export as JSON inside of a text as well. */
export function textsOf(value: unknown): string[] {
  const parsed = structureOf(value);
  return Array.isArray(parsed) ? parsed.filter((one): one is string => typeof one === 'string') : [];
}

/** A value, or what its text contains as JSON. */
export function structureOf(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}

/** Whether a value is set to something: not absent, null, false, or an empty text, list or object. */
export function isSet(value: unknown): boolean {
  const structure = structureOf(value);
  if (Array.isArray(structure)) return structure.length > 0;
  if (isRow(structure)) return Object.keys(structure).length > 0;
  return structure !== undefined && structure !== null && structure !== false && structure !== '';
}

const FLAGS: ReadonlyMap<unknown, boolean> = new Map([
  ...[true, 1, 'true', 't', 'yes', '1'].map((flag) => [flag, true] as const),
  ...[false, 0, 'false', 'f', 'no', '0'].map((flag) => [flag, false] as const),
]);

/**
 * A flag: `true`, 1 and their texts in upper or lower case; null where it is not set.
 *
 * @throws RowRefusal for what is neither yes nor no: a key that is blocked there must not come to life here
 */
export function flagOf(value: unknown): boolean | null {
  if (value === undefined || value === null || value === '') return null;
  const flag = FLAGS.get(typeof value === 'string' ? value.trim().toLowerCase() : value);
  if (flag === undefined) throw new RowRefusal('a flag of it is neither true nor false');
  return flag;
}

/**
 * An instant in UTC as the import takes it: from ISO 8601, from `2026-01-31 12:00:00` (which databases write of a time
 * without a zone, and mean UTC), or from milliseconds since 1970. null where there is none.
 *
 * @throws RowRefusal for what is no instant
 */
export function instantOf(field: string, value: unknown): string | null {
  if (value === undefined || value === null || value === '') return null;
  const date =
    typeof value === 'number' ? new Date(value) : new Date(typeof value === 'string' ? withZone(value) : NaN);
  if (Number.isNaN(date.getTime())) throw new RowRefusal(`${field} is not an instant`);
  return date.toISOString();
}

function withZone(text: string): string {
  const iso = text.trim().replace(' ', 'T');
  if (/^\d{4}-\d\d-\d\d$/.test(iso)) return `${iso}T00:00:00Z`;
  if (/[+-]\d\d$/.test(iso)) return `${iso}:00`;
  return /(Z|[+-]\d\d:?\d\d)$/i.test(iso) ? iso : `${iso}Z`;
}

/** @throws StartRefusal for a text that is no JSON */
export function parseExport(file: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new StartRefusal(
      `${file} is not JSON. Export it as JSON: docs/migrating.md shows the command for each system.`,
    );
  }
}
