import { ImportApiKeyDto } from '../../api-keys/bulk/import-api-keys.dto.js';
import { readEntry } from '../../common/validation.pipe.js';
import { type ExportRow, RowRefusal } from './export-row.js';
import { type ImportedKey, KeyDraft } from './key-draft.js';
import type { Source } from './source.js';

/** Keys of one import, as its route takes them. */
const BATCH_KEYS = 500;
/** Bytes of the keys of one import; its route takes bodies of 1 MiB. */
const BATCH_BYTES = 1_000_000;

/**
 * `ready`: can be imported as it is; `withheld`: would be able to do something else here than there; `refused`: cannot
 * be a key.
 */
export type RowState = 'ready' | 'withheld' | 'refused';

/** What a row of an export comes to. */
export interface PlannedRow {
  /** Its place in the export, from 1. */
  readonly number: number;
  readonly label: string;
  readonly state: RowState;
  readonly key: ImportedKey | null;
  /** Why it is refused or withheld. */
  readonly reasons: readonly string[];
  /** What is not taken and changes nothing that the key may do. */
  readonly losses: readonly string[];
}

/** How rows are judged. */
export interface PlanOptions {
  /** Ids of users here by the owners of the export; null: all keys belong to the caller of the import. */
  readonly owners: ReadonlyMap<string, string> | null;
  /** Imports rows that differ in what the key may do. */
  readonly acceptsDifferences: boolean;
  readonly now: Date;
}

/** Maps each row by itself: what is wrong with one changes nothing about the others. */
export async function planRows(
  source: Source,
  rows: readonly ExportRow[],
  options: PlanOptions,
): Promise<readonly PlannedRow[]> {
  return Promise.all(rows.map((row, index) => planRow(source, row, index + 1, options)));
}

async function planRow(source: Source, row: ExportRow, number: number, options: PlanOptions): Promise<PlannedRow> {
  const label = source.labelOf(row) ?? 'without a name';
  const refused = (reasons: readonly string[]): PlannedRow => {
    return { number, label, state: 'refused', key: null, reasons, losses: [] };
  };
  const draft = new KeyDraft();
  try {
    source.map(row, draft);
    assignOwner(draft, options.owners);
  } catch (error) {
    if (!(error instanceof RowRefusal)) throw error;
    return refused([error.message]);
  }
  const { key, differences, losses } = draft;
  if (typeof key.expiresAt === 'string' && new Date(key.expiresAt) <= options.now)
    return refused([`the key ended at ${key.expiresAt}`]);
  const reading = await readEntry(ImportApiKeyDto, key);
  if ('errors' in reading) return refused(reading.errors.map(({ path, message }) => `${path} ${message}`));
  const isWithheld = differences.length > 0 && !options.acceptsDifferences;
  if (isWithheld) return { number, label, state: 'withheld', key, reasons: differences, losses };
  return { number, label, state: 'ready', key, reasons: [], losses: [...differences, ...losses] };
}

/** @throws RowRefusal for an owner that has no user here */
function assignOwner(draft: KeyDraft, owners: ReadonlyMap<string, string> | null): void {
  if (owners === null) return draft.note('migratedOwner', draft.owner);
  if (draft.owner === null) return;
  const ownerId = owners.get(draft.owner);
  if (ownerId === undefined) throw new RowRefusal(`owner ${draft.owner} is not in the file of owners`);
  draft.key.ownerId = ownerId;
}

/** The rows that are ready, in batches that one request takes. */
export function batchesOf(rows: readonly PlannedRow[]): readonly (readonly PlannedRow[])[] {
  const batches: PlannedRow[][] = [];
  let bytes = Infinity;
  for (const row of rows.filter(({ state }) => state === 'ready')) {
    const size = Buffer.byteLength(JSON.stringify(row.key)) + 1;
    if (bytes + size > BATCH_BYTES || batches.at(-1)!.length === BATCH_KEYS) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)!.push(row);
    bytes += size;
  }
  return batches;
}

/** The body of an import. */
export function bodyOf(batch: readonly PlannedRow[], raiseOwnerLimits: boolean): string {
  return JSON.stringify({ keys: batch.map(({ key }) => key), raiseOwnerLimits });
}
