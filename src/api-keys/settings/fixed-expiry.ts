import { windowEnd } from '../validity.js';
import { expiryWasFixed } from '../api-key.errors.js';
import type { LockedKey } from '../change/locked-key.js';
import type { KeyState } from './settings.js';

/**
 * The end of a window that begins now. A renewal by an owner does not pass what a caller with
 * `platform:api-keys:update` has fixed.
 *
 * @throws DomainError 403 OWNER_MAY_ONLY_TIGHTEN once that has passed
 */
export function renewedUntil({ key, standing, now }: LockedKey, days: number): Date {
  const end = windowEnd(now, days);
  if (standing === 'permission' || key.maxExpiresAt === null || end <= key.maxExpiresAt) return end;
  if (key.maxExpiresAt <= now) throw expiryWasFixed(key.maxExpiresAt);
  return key.maxExpiresAt;
}

/**
 * The key with the latest expiry that its owner may reach from now on. With the permission, choosing an expiry fixes
 * it, `null` lifts what was fixed, and a renewal only moves it later. A caller who sends back the expiry that was read
 * has not chosen one.
 */
export function withFixedExpiry({ key, standing }: LockedKey, after: KeyState, isChosen: boolean): KeyState {
  const isMoved = after.expiresAt?.getTime() !== key.expiresAt?.getTime();
  if (standing !== 'permission' || !isMoved) return after;
  if (isChosen) return { ...after, maxExpiresAt: after.expiresAt };
  const isPassed = key.maxExpiresAt !== null && after.expiresAt !== null && after.expiresAt > key.maxExpiresAt;
  return isPassed ? { ...after, maxExpiresAt: after.expiresAt } : after;
}
