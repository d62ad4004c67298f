import type { LimitFacts, LimitTarget } from '../../src/quotas/limits/limit-facts.js';

/** Ids of what the simulation of the record cache is about. */
export const KEY = 'key-1';
export const OWNER = 'owner-1';
export const ROLE = 'role-1';
export const PROJECT = 'project-1';

/** What of the key never changes. */
export const KEY_FACTS = {
  id: KEY,
  environment: 'live',
  verifiesEnvironment: 'any',
  ownerId: OWNER,
  projectId: PROJECT,
  isActive: true,
  expiresAtMs: null,
  scopes: [],
  roles: [ROLE],
  tags: [],
  metadata: {},
  allowedIps: [],
  allowedModels: [],
  allowedChatbots: [],
  rateLimitPerMinute: null,
  rateLimitPerHour: null,
  rateLimitPerDay: null,
  budgetLimitMicroCents: null,
  budgetType: null,
  defaultReserveTokens: null,
  limits: { accounts: [], windows: [], sliding: [], limits: [], slots: [], isByModel: false, bySubject: null },
  limitsOfKey: [],
} as const;

/** A row of the trail about a limit. */
export const LIMIT_CHANGED = { action: 'limits:update', resourceType: 'limit', resourceId: 'limit-1' };

/** A limit whose name tells its version. */
export function limitNamed(target: LimitTarget, version: number): LimitFacts {
  return { id: `${target}-limit`, name: String(version), target, unit: 'cents', per: 'month', each: null, models: [] };
}
