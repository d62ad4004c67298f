import type { ApiKey } from './api-key.entity.js';

/** What a key is, in the order of what counts most. */
export type ApiKeyStatus = 'revoked' | 'inactive' | 'expired' | 'pending' | 'active';

/** All statuses, strongest first. */
export const API_KEY_STATUSES = [
  'revoked',
  'inactive',
  'expired',
  'pending',
  'active',
] as const satisfies readonly ApiKeyStatus[];

/** Derived, never stored: `statusOf`, and a key that would be active and has had no secret is pending. */
export function shownStatusOf(key: Parameters<typeof statusOf>[0], hasHadSecret: boolean, now: Date): ApiKeyStatus {
  const status = statusOf(key, now);
  return status === 'active' && !hasHadSecret ? 'pending' : status;
}

/**
 * What the settings of a key come to: revoked > inactive > expired > active. A key expires at `expiresAt`, not after
 * it. A pending key is active here: it counts against the cap of its owner.
 */
export function statusOf(
  key: Pick<ApiKey, 'revokedAt' | 'isActive' | 'expiresAt'>,
  now: Date,
): Exclude<ApiKeyStatus, 'pending'> {
  if (key.revokedAt !== null) return 'revoked';
  if (!key.isActive) return 'inactive';
  if (key.expiresAt !== null && key.expiresAt <= now) return 'expired';
  return 'active';
}
