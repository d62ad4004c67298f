import type { ApiKeyFieldName, FieldsWith } from '../../../packages/contract/src/api-key-fields.js';
import { type CsvValue, csvHeader, csvLine } from '../../common/csv.js';
import type { ApiKeyView } from '../api-key.view.js';

/** What is said of a key beside the fields that its maker decides. */
type OtherColumn = Exclude<keyof ApiKeyView, ApiKeyFieldName | 'secrets' | 'maxExpiresAt' | 'version' | 'handOver'>;

/** The columns of an export, named as in the API. `secrets` is left out: `keyPrefix` has the newest one's. */
const COLUMN_SET: Readonly<Record<FieldsWith<{ isExported: true }> | OtherColumn, true>> = {
  id: true,
  alias: true,
  name: true,
  description: true,
  ownerId: true,
  ownerName: true,
  ownerIsActive: true,
  keyPrefix: true,
  environment: true,
  status: true,
  isActive: true,
  deactivatedAt: true,
  deactivatedBy: true,
  scopes: true,
  roles: true,
  rateLimitPerMinute: true,
  rateLimitPerHour: true,
  rateLimitPerDay: true,
  allowedIps: true,
  allowedModels: true,
  allowedChatbots: true,
  isUnlimited: true,
  budgetLimitCents: true,
  budgetType: true,
  tags: true,
  metadata: true,
  expiresAt: true,
  validityDays: true,
  createdAt: true,
  updatedAt: true,
  lastUsedAt: true,
  revokedAt: true,
  revokedReason: true,
  totalRequests: true,
  totalTokens: true,
  totalCostCents: true,
  // New columns come last, so that those before keep their places.
  verifiesEnvironment: true,
  budgetRaise: true,
  projectId: true,
};

const COLUMNS = Object.keys(COLUMN_SET) as (keyof typeof COLUMN_SET)[];

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
