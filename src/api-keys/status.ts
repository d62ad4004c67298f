import type { ApiKey } from './api-key.entity.js';

/** What a key is, in the order of what counts most. */
export type ApiKeyStatus = 'revoked' | 'inactive' | 'expired' | 'active';

/** All statuses, strongest first. */
export const API_KEY_STATUSES = ['revoked', 'inactive', 'expired', 'active'] as const satisfies readonly ApiKeyStatus[];

/** Derived, never stored: revoked > inactive > expired > active. A key expires at `expiresAt`, not after it. */
export function statusOf(key: Pick<ApiKey, 'revokedAt' | 'isActive' | 'expiresAt'>, now: Date): ApiKeyStatus {
  if (key.revokedAt !== null) return 'revoked';
  if (!key.isActive) return 'inactive';
  if (key.expiresAt !== null && key.expiresAt <= now) return 'expired';
  return 'active';
}
