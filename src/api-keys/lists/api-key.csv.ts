import type { ApiKeyFieldName, FieldsWith, None } from '../../../packages/contract/src/api-key-fields.js';
import { type CsvValue, csvHeader, csvLine } from '../../common/csv.js';
import type { ApiKeyView } from '../api-key.view.js';

/** What is said of a key beside the fields that its maker decides. */
type OtherColumn = Exclude<
  keyof ApiKeyView,
  ApiKeyFieldName | 'secrets' | 'maxExpiresAt' | 'version' | 'handOver' | 'allowedActs'
>;

type Column = FieldsWith<{ isExported: true }> | OtherColumn;

/** A column keeps its place, a new one is the last. `keyPrefix` is that of the newest secret. */
const COLUMNS = [
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
  'verifiesEnvironment',
  'projectId',
  'budgetRaise',
  'defaultReserveTokens',
] as const satisfies readonly Column[];

/** Does not compile while a column lacks its place. */
export type EveryColumn = None<Exclude<Column, (typeof COLUMNS)[number]>>;

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
