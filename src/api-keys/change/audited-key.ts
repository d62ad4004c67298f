import { isDeepStrictEqual } from 'node:util';
import {
  API_KEY_FIELDS,
  type ApiKeyFieldName,
  type FieldsWith,
} from '../../../packages/contract/src/api-key-fields.js';
import type { Audited } from '../../audit/diff.js';
import { centsFromMicroCents } from '../../common/money.js';
import type { KeyState } from '../settings/settings.js';

/** What the server itself says of a key and the trail tells. */
type ServerField =
  | 'ownerId'
  | 'projectId'
  | 'isActive'
  | 'deactivatedAt'
  | 'deactivatedBy'
  | 'maxExpiresAt'
  | 'lastBudgetType'
  | 'revokedAt'
  | 'revokedReason';

/** Fields of the API that are not named so in a row. */
type ConvertedField = 'isUnlimited' | 'budgetLimitCents';

const AUDITED = Object.entries(API_KEY_FIELDS)
  .filter(([, { isAudited }]) => isAudited)
  .map(([name]) => name as FieldsWith<{ isAudited: true }>);

/**
 * What the first release that told versions made them of. Members that came later are left out of a version while they
 * have their default: else the versions of all keys would change with a release, and differ between replicas of two.
 * Nothing is added to this list.
 */
const FIRST_IN_VERSIONS: ReadonlySet<string> = new Set<ApiKeyFieldName | ServerField>([
  'name',
  'description',
  'alias',
  'environment',
  'verifiesEnvironment',
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
  'ownerId',
  'isActive',
  'deactivatedAt',
  'deactivatedBy',
  'maxExpiresAt',
  'lastBudgetType',
  'revokedAt',
  'revokedReason',
]);

const DEFAULTS: Readonly<Record<string, { readonly default: unknown }>> = API_KEY_FIELDS;

/**
 * A key as the audit trail shows it: every field that can change, named as in the API, never a secret. An offer of its
 * next secret is among them while there is one.
 */
export function auditedKey(key: KeyState): Audited {
  const { handOverBy, handOverUntil, handOverOverlapSeconds } = key;
  const offer = handOverUntil === null ? {} : { handOverBy, handOverUntil, handOverOverlapSeconds };
  return { ...auditedSettings(key), ...offer };
}

/** What the version of a key is made of: an offer that comes or ends changes no setting. */
export function keySettings(key: KeyState): Audited {
  const says = ([name, value]: [string, unknown]) =>
    FIRST_IN_VERSIONS.has(name) || !isDeepStrictEqual(value, DEFAULTS[name]?.default ?? null);
  return Object.fromEntries(Object.entries(auditedSettings(key)).filter(says));
}

function auditedSettings(key: KeyState): Audited {
  const limit = key.budgetLimitMicroCents;
  const row: Readonly<Record<ApiKeyFieldName, unknown>> = {
    ...(key satisfies Readonly<Record<Exclude<ApiKeyFieldName, ConvertedField>, unknown>>),
    isUnlimited: limit === null,
    budgetLimitCents: limit === null ? null : centsFromMicroCents(limit),
  };
  const server: Readonly<Record<ServerField, unknown>> = {
    ownerId: key.ownerId,
    projectId: key.projectId,
    isActive: key.isActive,
    deactivatedAt: key.deactivatedAt,
    deactivatedBy: key.deactivatedBy,
    maxExpiresAt: key.maxExpiresAt,
    lastBudgetType: key.lastBudgetType,
    revokedAt: key.revokedAt,
    revokedReason: key.revokedReason,
  };
  return { ...Object.fromEntries(AUDITED.map((name) => [name, row[name]])), ...server };
}
