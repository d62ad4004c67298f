import { describe, expect, it } from '@jest/globals';
import { KEY_CSV_HEADER } from './api-key.csv.js';

/** As releases wrote them. Columns are only added behind. */
const RELEASED =
  'id,alias,name,description,ownerId,ownerName,ownerIsActive,keyPrefix,environment,status,isActive,deactivatedAt,' +
  'deactivatedBy,scopes,roles,rateLimitPerMinute,rateLimitPerHour,rateLimitPerDay,allowedIps,allowedModels,allowedChatbots,' +
  'isUnlimited,budgetLimitCents,budgetType,tags,metadata,expiresAt,validityDays,createdAt,updatedAt,lastUsedAt,revokedAt,' +
  'revokedReason,totalRequests,totalTokens,totalCostCents,verifiesEnvironment';

describe('the export of keys', () => {
  it('has the columns of releases at their places, and later ones behind them', () => {
    const columns = [...KEY_CSV_HEADER.matchAll(/"([^"]*)"/g)].map(([, name]) => name!);
    const released = RELEASED.split(',');
    expect(columns.slice(0, released.length)).toEqual(released);
    expect(columns.slice(released.length)).toEqual(['projectId', 'budgetRaise', 'defaultReserveTokens']);
  });
});
