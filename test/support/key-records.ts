import type { KeyFacts, SecretFacts } from '../../src/key-cache/records/key-record.js';
import { NO_LIMITS } from '../../src/quotas/limits/limit-facts.js';
import type { LoadedRows } from '../../src/key-cache/records/loaded-records.js';

const ROLES = [
  { name: 'key-role', isActive: true, permissions: ['platform:api-keys:*'] },
  { name: 'owner-role', isActive: true, permissions: ['platform:*:read'] },
];

/** What differs from the plainest key. */
export interface RowsOptions extends Partial<KeyFacts> {
  readonly seq?: bigint;
  readonly kids?: readonly string[];
  readonly kind?: SecretFacts['kind'];
}

/** What a load brings of one key with no limits: with a role, and an owner with another. */
export function rowsOf(
  id: string,
  { seq = 1n, kids = [`kid-${id}`], kind = 'own', ...key }: RowsOptions = {},
): LoadedRows {
  const secrets = kids.map((kid): SecretFacts => ({
    kid,
    keyId: id,
    kind,
    mac: Buffer.alloc(32, kid),
    pepperVersion: '1',
    binding: null,
    createdAtMs: 0,
    revokedAtMs: null,
    expiresAtMs: null,
    lastUsedAtMs: null,
  }));
  const facts: KeyFacts = {
    id,
    environment: 'live',
    verifiesEnvironment: 'any',
    name: id,
    ownerId: 'owner',
    projectId: null,
    isActive: true,
    revokedAtMs: null,
    expiresAtMs: null,
    scopes: [],
    roles: ['key-role'],
    tags: [],
    metadata: {},
    allowedIps: [],
    allowedModels: [],
    allowedChatbots: [],
    ...{ rateLimitPerMinute: null, rateLimitPerHour: null, rateLimitPerDay: null },
    ...{ budgetLimitMicroCents: null, budgetType: null, defaultReserveTokens: null },
    limits: { accounts: [], windows: [], sliding: [], limits: [], slots: [], isByModel: false, bySubject: null },
    limitsOfKey: NO_LIMITS,
    ...key,
  };
  return {
    seq,
    epoch: 'epoch',
    secrets,
    keys: [facts],
    owners: [{ id: 'owner', isActive: true, roles: ['owner-role'], limits: NO_LIMITS }],
    roles: ROLES,
    projects: facts.projectId === null ? [] : [{ id: facts.projectId, isActive: true, limits: NO_LIMITS }],
    installation: NO_LIMITS,
  };
}

/** One load of several keys. */
export function rowsOfAll(loads: readonly LoadedRows[]): LoadedRows {
  return {
    ...loads[0]!,
    secrets: loads.flatMap(({ secrets }) => secrets),
    keys: loads.flatMap(({ keys }) => keys),
    projects: loads.flatMap(({ projects }) => projects),
  };
}
