import { API_KEY_FIELDS, type ApiKeyField, type ApiKeyFieldName } from '../../../packages/contract/src/api-key-fields';
import { type Schema, faultsOf } from '../../../packages/contract/src/schema';
import type { Schemas } from '../api/client';

/** One key of an import, as the API takes it. */
export type ImportEntry = Schemas['ImportApiKeyDto'];

/** One line of what was pasted: an entry, or what is wrong with it. */
export interface ImportRow {
  /** As people count: the header is line 1. */
  readonly line: number;
  readonly entry: ImportEntry | null;
  readonly problem: string | null;
}

/** As many keys as one request takes. */
export const BATCH_ENTRIES = 500;
/** Of the 1 MiB that a request may have; the rest is for the fields around. */
const BATCH_BYTES = 900_000;

/** How a cell is read. An entry of `names` may contain spaces, so that only other separators divide the list. */
type Kind = 'text' | 'words' | 'names' | 'number' | 'flag';

/** Members of an import that are no field of the table of keys. */
const OTHERS: Readonly<Record<Exclude<keyof ImportEntry, ApiKeyFieldName>, Kind>> = {
  sha256: 'text',
  prefix: 'text',
  ownerId: 'text',
  projectId: 'text',
  spentCents: 'number',
  isActive: 'flag',
  createdAt: 'text',
  lastUsedAt: 'text',
};

/** Only in JSON: a cell is no map. */
const IN_JSON_ONLY: readonly string[] = ['metadata'] satisfies (keyof ImportEntry)[];

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ...Object.entries(OTHERS),
  ...(Object.entries(API_KEY_FIELDS) as [ApiKeyFieldName, ApiKeyField][])
    .filter(([name, { given }]) => given !== 'update' && !IN_JSON_ONLY.includes(name))
    .map(([name, { schema }]): [string, Kind] => [name, kindOf(schema)]),
]);

/** What a column may be called. `key` is hashed in the browser and goes nowhere. */
export const COLUMNS: readonly string[] = ['key', ...KINDS.keys()];

function kindOf({ type, items }: Schema): Kind {
  if (type === 'array') return items !== undefined && faultsOf(items, 'two words').length === 0 ? 'names' : 'words';
  if (type === 'integer' || type === 'number') return 'number';
  return type === 'boolean' ? 'flag' : 'text';
}

/**
 * Reads pasted CSV with a header, or JSON: a list, or the body of the API's own import. A line that is wrong says so,
 * and none fails another.
 *
 * @throws Error with a sentence where the whole cannot be read
 */
export async function readImport(text: string): Promise<ImportRow[]> {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  const records = /^[[{]/.test(trimmed) ? readJson(trimmed) : readCsv(trimmed);
  return Promise.all(records.map(({ line, fields }) => rowOf(line, fields)));
}

interface RawRecord {
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

function readJson(text: string): RawRecord[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${(error as Error).message}`, { cause: error });
  }
  const list = Array.isArray(value) ? value : (value as { keys?: unknown }).keys;
  if (!Array.isArray(list)) throw new Error('The JSON must be a list of keys, or an object with the list keys.');
  return list.map((fields: unknown, index) => ({
    line: index + 1,
    fields: typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : {},
  }));
}

function readCsv(text: string): RawRecord[] {
  const [header = { line: 1, cells: [] }, ...rows] = csvRows(text);
  const names = header.cells.map((cell) => cell.trim());
  const unknown = names.filter((name) => !COLUMNS.includes(name));
  if (unknown.length > 0)
    throw new Error(
      `The first line names the columns, and there is no column ${unknown.slice(0, 3).join(', ')}. Known are ${COLUMNS.join(', ')}.`,
    );
  return rows.map(({ line, cells }) => ({
    line,
    fields: Object.fromEntries(names.map((name, index) => [name, cells[index]?.trim() ?? ''])),
  }));
}

/**
 * RFC 4180: quotes around a cell, doubled inside; separated by commas, semicolons or tabs, whichever the header has.
 */
function csvRows(text: string): { line: number; cells: string[] }[] {
  const first = text.split('\n', 1)[0]!;
  const separator = ['\t', ';', ','].find((one) => first.includes(one)) ?? ',';
  const rows: { line: number; cells: string[] }[] = [];
  let cells: string[] = [];
  let cell = '';
  let quoted = false;
  let line = 1;
  let startedAt = 1;
  const endRow = () => {
    cells.push(cell);
    if (cells.some((one) => one.trim() !== '')) rows.push({ line: startedAt, cells });
    cells = [];
    cell = '';
    startedAt = line;
  };
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (character === '\n') line += 1;
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[at + 1] === '"') cell += text[(at += 1)]!;
      else quoted = false;
    } else if (character === '"' && cell === '') quoted = true;
    else if (character === separator) {
      cells.push(cell);
      cell = '';
    } else if (character === '\n') endRow();
    else if (character !== '\r') cell += character;
  }
  endRow();
  return rows;
}

async function rowOf(line: number, fields: Readonly<Record<string, unknown>>): Promise<ImportRow> {
  const refused = (problem: string): ImportRow => ({ line, entry: null, problem });
  const stray = Object.keys(fields).find((name) => !COLUMNS.includes(name) && !IN_JSON_ONLY.includes(name));
  if (stray !== undefined) return refused(`there is no field ${stray}`);
  const { key, ...given } = fields;
  const present = Object.entries(given).filter(([, value]) => value !== '' && value !== undefined);
  const entry: Record<string, unknown> = {};
  for (const [name, value] of present) {
    const read = valueOf(name, value);
    if (typeof read === 'object' && read !== null && 'problem' in read) return refused(`${name} ${read.problem}`);
    entry[name] = read;
  }
  if (typeof key === 'string' && key !== '') {
    const hash = await sha256(key);
    if (entry['sha256'] !== undefined && hexOf(String(entry['sha256'])) !== hash)
      return refused('sha256 is not the hash of key');
    entry['sha256'] = hash;
    entry['prefix'] ??= key.slice(0, Math.min(8, Math.floor(key.length / 2)));
  }
  // The server says what is wrong with a hash, and why some cannot be imported.
  if (typeof entry['sha256'] !== 'string' || entry['sha256'] === '') return refused('needs key, or its sha256');
  if (typeof entry['prefix'] !== 'string')
    return refused('needs prefix: the public start of the key, by which it is shown and found');
  return { line, entry: entry as unknown as ImportEntry, problem: null };
}

function valueOf(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  switch (KINDS.get(name)) {
    case 'number': {
      const number = Number(value);
      return Number.isFinite(number) ? number : { problem: `is no number: ${value}` };
    }
    case 'flag': {
      const text = value.toLowerCase();
      return text === 'true' || text === 'false' ? text === 'true' : { problem: `must be true or false: ${value}` };
    }
    case 'names':
      return /[,;|]/.test(value) ? entriesOf(value, /[,;|]/) : entriesOf(value, /\s+/);
    case 'words':
      return entriesOf(value, /[\s,;|]+/);
    default:
      return value;
  }
}

function entriesOf(list: string, separator: RegExp): string[] {
  return list
    .split(separator)
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

/** A hash in base64 or base64url as hexadecimal digits; other text as it is, in lower case. */
function hexOf(text: string): string {
  if (!/^[\w+/-]{43}=?$/.test(text)) return text.toLowerCase();
  const bytes = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Array.from(bytes, (byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}

async function sha256(text: string): Promise<string> {
  if (!('subtle' in crypto))
    throw new Error('Keys can be hashed here only over HTTPS. Give their hashes in a column sha256 instead.');
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Requests of at most 500 entries, and of a size that the API takes. */
export function inRequests<T extends { readonly entry: ImportEntry }>(rows: readonly T[]): T[][] {
  const batches: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = JSON.stringify(row.entry).length * 2;
    if (batch.length > 0 && (batch.length === BATCH_ENTRIES || bytes + size > BATCH_BYTES)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(row);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
