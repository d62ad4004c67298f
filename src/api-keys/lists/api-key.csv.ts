import {
  API_KEY_FIELDS,
  type ApiKeyFieldName,
  type FieldsWith,
  type None,
} from '../../../packages/contract/src/api-key-fields.js';
import { type CsvValue, csvHeader, csvLine } from '../../common/csv.js';
import type { ApiKeyView } from '../api-key.view.js';

/** What is said of a key beside the fields that its maker decides. */
type OtherColumn = Exclude<keyof ApiKeyView, ApiKeyFieldName | 'secrets' | 'maxExpiresAt' | 'version' | 'handOver'>;

type Column = FieldsWith<{ isExported: true }> | OtherColumn;

/** Columns that keep the places of the first export. `keyPrefix` is that of the newest secret. */
const FIRST = [
  'id',
  'alias',
  'name',
  'description',
  'ownerId',
  'ownerName',
  'ownerIsActive',
  'keyPrefix',
  'environment',
  'status',
  'isActive',
  'deactivatedAt',
  'deactivatedBy',
  'scopes',
  'roles',
  'rateLimitPerMinute',
  'rateLimitPerHour',
  'rateLimitPerDay',
  'allowedIps',
  'allowedModels',
  'allowedChatbots',
  'isUnlimited',
  'budgetLimitCents',
  'budgetType',
  'tags',
  'metadata',
  'expiresAt',
  'validityDays',
  'createdAt',
  'updatedAt',
  'lastUsedAt',
  'revokedAt',
  'revokedReason',
  'totalRequests',
  'totalTokens',
  'totalCostCents',
  'projectId',
] as const satisfies readonly Column[];

/** Does not compile while a column that is no field of the table lacks its place in `FIRST`. */
export type EveryColumn = None<Exclude<OtherColumn, (typeof FIRST)[number]>>;

/** The fields that came to the table later follow, as they are exported. */
const LATER = (Object.keys(API_KEY_FIELDS) as ApiKeyFieldName[]).filter(
  (name): name is FieldsWith<{ isExported: true }> =>
    API_KEY_FIELDS[name].isExported && !(FIRST as readonly string[]).includes(name),
);

const COLUMNS: readonly Column[] = [...FIRST, ...LATER];

/** The first line: the names of the columns. */
export const KEY_CSV_HEADER = csvHeader(COLUMNS);

/** The line of one key. Metadata and the raise of the budget are JSON. */
export function csvOfKey(key: ApiKeyView): string {
  return csvLine(
    COLUMNS.map((column): CsvValue => {
      if (column === 'metadata') return JSON.stringify(key.metadata);
      if (column === 'budgetRaise') return key.budgetRaise === null ? null : JSON.stringify(key.budgetRaise);
      return key[column];
    }),
  );
}
