import { type CsvValue, csvHeader, csvLine } from '../../common/csv.js';
import type { ApiKeyView } from '../api-key.view.js';

/** The columns of an export, named as in the API. `secrets` is left out: `keyPrefix` has the newest one's. */
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
] as const satisfies readonly (keyof ApiKeyView)[];

/** The first line: the names of the columns. */
export const KEY_CSV_HEADER = csvHeader(COLUMNS);

/** The line of one key. Metadata is JSON. */
export function csvOfKey(key: ApiKeyView): string {
  return csvLine(
    COLUMNS.map((column): CsvValue => (column === 'metadata' ? JSON.stringify(key.metadata) : key[column])),
  );
}
