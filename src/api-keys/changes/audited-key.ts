import type { FieldsWith } from '../../../packages/contract/src/api-key-fields.js';
import type { Audited } from '../../audit/diff.js';
import { centsFromMicroCents } from '../../common/money.js';
import type { KeyState } from './rules.js';

/** What the server itself says of a key and the trail tells. */
type ServerField =
  'ownerId' | 'isActive' | 'deactivatedAt' | 'deactivatedBy' | 'maxExpiresAt' | 'revokedAt' | 'revokedReason';

/** A key as the audit trail shows it: every field that can change, named as in the API, never a secret. */
export function auditedKey(key: KeyState): Audited {
  return {
    ownerId: key.ownerId,
    alias: key.alias,
    name: key.name,
    description: key.description,
    environment: key.environment,
    isActive: key.isActive,
    deactivatedAt: key.deactivatedAt,
    deactivatedBy: key.deactivatedBy,
    scopes: key.scopes,
    roles: key.roles,
    rateLimitPerMinute: key.rateLimitPerMinute,
    rateLimitPerHour: key.rateLimitPerHour,
    rateLimitPerDay: key.rateLimitPerDay,
    allowedIps: key.allowedIps,
    allowedModels: key.allowedModels,
    allowedChatbots: key.allowedChatbots,
    isUnlimited: key.budgetLimitMicroCents === null,
    budgetLimitCents: key.budgetLimitMicroCents === null ? null : centsFromMicroCents(key.budgetLimitMicroCents),
    budgetType: key.budgetType,
    tags: key.tags,
    metadata: key.metadata,
    expiresAt: key.expiresAt,
    maxExpiresAt: key.maxExpiresAt,
    validityDays: key.validityDays,
    revokedAt: key.revokedAt,
    revokedReason: key.revokedReason,
  } satisfies Record<FieldsWith<{ isAudited: true }> | ServerField, unknown>;
}
