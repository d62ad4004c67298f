import { CsvError, parse } from 'csv-parse/sync';
import { API_KEY_FIELDS, type ApiKeyField } from '../../../packages/contract/src/api-key-fields.js';
import type { Schema } from '../../../packages/contract/src/schema.js';
import { StartRefusal } from '../../common/start-refusal.js';
import { type ExportRow, flagOf, instantOf, rowsOf, textOf } from './export-row.js';
import type { KeyDraft } from './key-draft.js';
import type { Source } from './source.js';

const INSTANTS = ['createdAt', 'lastUsedAt', 'expiresAt'] as const;
const AMOUNTS = ['budgetLimitCents', 'spentCents'] as const;
const LIMITS = { rateLimitPerMinute: 60_000, rateLimitPerHour: 3_600_000, rateLimitPerDay: 86_400_000 } as const;
const READ_APART: ReadonlySet<string> = new Set([...INSTANTS, ...AMOUNTS, ...Object.keys(LIMITS)]);

const TEXTS = ['prefix', 'projectId', ...fieldsOf('string')];
const LISTS = fieldsOf('array');
const NUMBERS = fieldsOf('integer', 'number');
const FLAGS = ['isActive', ...fieldsOf('boolean')];
const COLUMNS: readonly string[] = [
  ...['sha256', 'secret', 'owner'],
  ...[...TEXTS, ...LISTS, ...NUMBERS, ...FLAGS, ...READ_APART],
];
const METADATA = 'metadata.';

/** Fields of a new key whose values are of these types, and that are read like all others of their type. */
function fieldsOf(...types: Schema['type'][]): string[] {
  return (Object.entries(API_KEY_FIELDS) as [string, ApiKeyField][])
    .filter(([name, { given, schema }]) => given !== 'update' && types.includes(schema.type) && !READ_APART.has(name))
    .map(([name]) => name);
}

/**
 * The rows of a CSV file with a header. An unknown column is refused: what a typing error names would be lost.
 *
 * @throws StartRefusal
 */
export function parseCsv(file: string, text: string): unknown {
  const rows = rowsOf(parsed(file, text)) ?? [];
  const unknown = Object.keys(rows[0] ?? {}).filter(
    (column) => !COLUMNS.includes(column) && !column.startsWith(METADATA),
  );
  if (unknown.length > 0)
    throw new StartRefusal(
      `${file} has columns that are not known: ${unknown.join(', ')}. Known are ${COLUMNS.join(', ')} and ${METADATA}<name>.`,
    );
  return rows;
}

function parsed(file: string, text: string): unknown {
  try {
    return parse(text, { columns: true, bom: true, skip_empty_lines: true, trim: true });
  } catch (error) {
    // Messages of the parser may quote what they stumble over, which may be a secret.
    if (error instanceof CsvError)
      throw new StartRefusal(`${file} is not CSV: ${error.code} in line ${String(error['lines'])}.`);
    throw error;
  }
}

/** A table of one's own, whose columns are named like the fields of the import. Lists are separated by spaces. */
export const csv: Source = {
  read: (documents) => documents.flatMap((document) => rowsOf(document) ?? []),

  labelOf: (row) => textOf(row['name'], row['alias'], row['prefix']),

  map(row, draft) {
    const secret = textOf(row['secret']);
    if (secret === null) draft.hash('sha256', row['sha256']);
    else draft.secret(secret);
    const { key } = draft;
    for (const field of TEXTS) {
      const text = textOf(row[field]);
      if (text !== null) Object.assign(key, { [field]: text });
    }
    for (const field of LISTS) {
      const list = textOf(row[field])?.split(/\s+/);
      if (list !== undefined) Object.assign(key, { [field]: list });
    }
    for (const field of NUMBERS) {
      const number = textOf(row[field]);
      if (number !== null) Object.assign(key, { [field]: Number(number) });
    }
    for (const field of FLAGS) {
      const flag = flagOf(row[field]);
      if (flag !== null) Object.assign(key, { [field]: flag });
    }
    for (const field of INSTANTS) {
      const instant = instantOf(field, row[field]);
      if (instant !== null) key[field] = instant;
    }
    for (const [field, ms] of Object.entries(LIMITS)) draft.limit(field, row[field], ms);
    mapAmounts(row, draft);
    key.isActive ??= true;
    draft.owner = textOf(row['owner']);
    for (const [column, value] of Object.entries(row))
      if (column.startsWith(METADATA) && value !== '') draft.note(column.slice(METADATA.length), value);
    if (key.prefix === undefined) draft.prefix(null);
  },
};

/** Amounts are in cents already: a text that is no amount is left for the check of the whole key to name. */
function mapAmounts(row: ExportRow, { key }: KeyDraft): void {
  for (const field of AMOUNTS) {
    const text = textOf(row[field]);
    if (text !== null) key[field] = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  }
}
