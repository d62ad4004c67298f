import { CsvError, parse } from 'csv-parse/sync';
import { StartRefusal } from '../../common/start-refusal.js';
import { type ExportRow, flagOf, instantOf, rowsOf, textOf } from './export-row.js';
import type { KeyDraft } from './key-draft.js';
import type { Source } from './source.js';

const TEXTS = ['prefix', 'name', 'description', 'alias', 'environment', 'budgetType'] as const;
const LISTS = ['scopes', 'tags', 'allowedModels', 'allowedChatbots', 'allowedIps', 'roles'] as const;
const INSTANTS = ['createdAt', 'lastUsedAt', 'expiresAt'] as const;
const AMOUNTS = ['budgetLimitCents', 'spentCents'] as const;
const LIMITS = { rateLimitPerMinute: 60_000, rateLimitPerHour: 3_600_000, rateLimitPerDay: 86_400_000 } as const;
const COLUMNS: readonly string[] = [
  ...['sha256', 'secret', 'owner', 'isActive', 'validityDays'],
  ...[...TEXTS, ...LISTS, ...INSTANTS, ...AMOUNTS, ...Object.keys(LIMITS)],
];
const METADATA = 'metadata.';

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
      if (list !== undefined) key[field] = list;
    }
    for (const field of INSTANTS) {
      const instant = instantOf(field, row[field]);
      if (instant !== null) key[field] = instant;
    }
    for (const [field, ms] of Object.entries(LIMITS)) draft.limit(field, row[field], ms);
    mapAmounts(row, draft);
    key.isActive = flagOf(row['isActive']) ?? true;
    const days = textOf(row['validityDays']);
    if (days !== null) key.validityDays = Number(days);
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
