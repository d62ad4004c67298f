import { createHash } from 'node:crypto';
import { importedHash } from '../../api-keys/bulk/imported-hash.js';
import type { ImportApiKeyDto } from '../../api-keys/bulk/import-api-keys.dto.js';
import { centsFromMainUnit } from './amount.js';
import { isRow, RowRefusal, structureOf } from './export-row.js';

const MAX_NAME = 100;
const MAX_PREFIX = 32;
const MAX_METADATA_BYTES = 4096;
/** Shown of a secret that is exported in clear: at most this, and never more than a quarter. */
const SHOWN_CHARACTERS = 6;

/** The largest limit of each window, as the import takes it. */
const MAX_LIMITS = { Minute: 10_000, Hour: 100_000, Day: 1_000_000 } as const;
const WINDOW_MS: ReadonlyMap<number, keyof typeof MAX_LIMITS> = new Map([
  [60_000, 'Minute'],
  [3_600_000, 'Hour'],
  [86_400_000, 'Day'],
]);

/** What `POST /api/v1/api-keys/import` takes of one key. */
export type ImportedKey = Partial<ImportApiKeyDto>;

/**
 * A key of the import while a row is mapped. `differences` are rules of the old system that the key would not have
 * here, so that it could do more or less than before; `losses` are facts that change nothing it may do.
 */
export class KeyDraft {
  readonly key: ImportedKey = { expiresAt: null };
  readonly differences: string[] = [];
  readonly losses: string[] = [];
  /** The owner in the old system. */
  owner: string | null = null;

  /** @throws RowRefusal for what no key can be found by */
  hash(field: string, value: unknown): void {
    if (typeof value !== 'string' || value === '')
      throw new RowRefusal(`${field} is missing: there is no hash to import`);
    const hash = importedHash(value);
    if (typeof hash === 'string') throw new RowRefusal(`${field} ${hash}`);
    this.key.sha256 = hash.toString('hex');
  }

  /** Of a secret that was exported in clear: its hash, and the few characters of it that are shown. */
  secret(secret: string): void {
    this.key.sha256 = createHash('sha256').update(secret).digest('hex');
    this.key.prefix = secret.slice(0, Math.max(1, Math.min(SHOWN_CHARACTERS, Math.floor(secret.length / 4))));
  }

  prefix(value: string | null): void {
    if (value === null) this.losses.push('the start of the key is not exported: its prefix is shown as "imported"');
    this.key.prefix = value?.slice(0, MAX_PREFIX) ?? 'imported';
  }

  name(value: string | null): void {
    if (value === null || value.trim() === '') return;
    const characters = [...value.trim()];
    if (characters.length > MAX_NAME) this.losses.push(`the name is cut to ${MAX_NAME} characters`);
    this.key.name = characters.slice(0, MAX_NAME).join('');
  }

  /** A limit of requests in a window; of several for one window the lowest counts. */
  limit(field: string, value: unknown, windowMs: number): void {
    if (value === undefined || value === null || value === '') return;
    const limit = Number(value);
    const window = WINDOW_MS.get(windowMs);
    if (window === undefined || !Number.isInteger(limit) || limit < 1) {
      this.differences.push(`${field} (${limit} in ${windowMs / 1000} s) cannot be a limit per minute, hour or day`);
      return;
    }
    const member = `rateLimitPer${window}` as const;
    const max = MAX_LIMITS[window];
    if (limit > max) this.differences.push(`${field} of ${limit} becomes ${max}, the highest ${member}`);
    this.key[member] = Math.min(limit, max, this.key[member] ?? max);
  }

  /** A budget and what was spent of it, in the main unit of the currency. @throws RowRefusal */
  budget(field: string, limit: unknown, spent: unknown, type: 'total' | 'monthly'): void {
    if (limit !== undefined && limit !== null && limit !== '') {
      const amount = requiredCents(field, limit);
      if (amount.isRounded) this.losses.push(`${field} is rounded down to a micro-cent`);
      this.key.budgetLimitCents = amount.cents;
      this.key.budgetType = type;
    }
    if (spent === undefined || spent === null || spent === '') return;
    const { cents } = requiredCents('spend', spent);
    if (cents > 0) this.key.spentCents = cents;
  }

  /** Text by name: other values are kept as their JSON. */
  metadata(value: unknown): void {
    const structure = structureOf(value);
    if (!isRow(structure)) return;
    for (const [name, one] of Object.entries(structure)) this.note(name, one);
  }

  /** One entry of the metadata, where there is room. */
  note(name: string, value: unknown): void {
    if (value === undefined || value === null || name === '') return;
    const metadata = { ...this.key.metadata, [name]: typeof value === 'string' ? value : JSON.stringify(value) };
    if (Buffer.byteLength(JSON.stringify(metadata)) <= MAX_METADATA_BYTES) this.key.metadata = metadata;
    else this.losses.push(`metadata ${name} has no room in ${MAX_METADATA_BYTES} bytes`);
  }

  /** A rule that the key does not have here, where the row has it. */
  differs(isThere: boolean, sentence: string): void {
    if (isThere) this.differences.push(sentence);
  }

  /** Something that is not taken and does not matter to what the key may do. */
  loses(isThere: boolean, sentence: string): void {
    if (isThere) this.losses.push(sentence);
  }
}

function requiredCents(field: string, value: unknown) {
  const amount = centsFromMainUnit(value);
  if (amount === null) throw new RowRefusal(`${field} is not an amount`);
  return amount;
}
