import type { Principal } from '../access/caller.js';
import { owns } from '../access/access-basis.js';
import type { ApiKeyDetails } from './api-key.view.js';
import { openHandOver } from './hand-over/hand-over.js';
import { standingOnKey } from './key-standing.js';
import { runningRaise } from './settings/budget-raise.js';

/** What can be done to one key. */
export const KEY_ACTS = [
  'update',
  'raise-budget',
  'end-budget-raise',
  'renew',
  'activate',
  'deactivate',
  'regenerate',
  'end-secret',
  'offer-secret',
  'end-offer',
  'draw-secret',
  'transfer',
  'move',
  'revoke',
  'delete',
] as const;

export type KeyAct = (typeof KEY_ACTS)[number];

type Subject = Pick<ApiKeyDetails, 'key' | 'secrets' | 'managerIds' | 'isProjectAdmin' | 'ownerKind' | 'ownerIsActive'>;

/**
 * What `principal` may do to the key as it is at `now`, in the order of {@link KEY_ACTS}: what the routes ask before
 * they look at values. An act that is left out is refused, or changes nothing. One that is named may be refused for
 * what it would give: a role, a value outside of the policy, a key more than the owner's cap.
 *
 * @see test/e2e/api-keys/allowed-acts.e2e-spec.ts, which tries all of them
 */
export function allowedActs(subject: Subject, principal: Principal, now: Date): KeyAct[] {
  const { key, secrets, managerIds, isProjectAdmin, ownerKind, ownerIsActive } = subject;
  // Members see a key of their project, and may change nothing.
  const projectRole = isProjectAdmin ? 'admin' : null;
  const ownership = { id: key.id, ownerId: key.ownerId, managerIds, projectRole } as const;
  const isOwn = owns(principal, ownership);
  const change = standingOnKey(principal, { permission: 'platform:api-keys:update' }, ownership);
  const removal = standingOnKey(principal, { permission: 'platform:api-keys:delete' }, ownership);
  const end = standingOnKey(principal, { permission: 'platform:api-keys:delete', itself: true }, ownership);
  const mayAssign = principal.may('platform:api-keys:assign');
  const isLive = key.revokedAt === null;
  const mayChange = isLive && change !== null;
  const isLoosening = change === 'permission';
  const hasOffer = openHandOver(key, now) !== null;
  const hasDrawer = ownerIsActive && (ownerKind === 'person' || managerIds.length > 0);
  const hasBudget = key.budgetLimitMicroCents !== null;
  const isOver = !isLive || (key.expiresAt !== null && key.expiresAt <= now);
  const may: Record<KeyAct, boolean> = {
    update: mayChange,
    'raise-budget': mayChange && isLoosening && hasBudget,
    'end-budget-raise': mayChange && hasBudget && runningRaise(key.budgetRaise, now) !== null,
    renew: mayChange,
    // What another deactivated, an owner does not activate.
    activate: mayChange && !key.isActive && (isLoosening || key.deactivatedBy === principal.id),
    deactivate: mayChange && key.isActive,
    // The first secret of a key is the offered one, for its owner.
    regenerate: mayChange && (isLoosening || (hasOffer && isOwn) || secrets.length > 0),
    'end-secret': mayChange && secrets.filter((secret) => works(secret, now)).length > 1,
    'offer-secret': mayAssign && isLive && key.ownerId !== principal.ownerId && hasDrawer,
    'end-offer': hasOffer && (mayAssign || isOwn),
    'draw-secret': hasOffer && isOwn,
    // Into a project of which the caller is an admin as well.
    move: isLive && (mayAssign || (key.projectId === null ? isOwn : isProjectAdmin)),
    transfer: mayAssign && isLive && (isOwn || principal.may('platform:api-keys:update')),
    revoke: isLive && end !== null,
    delete: removal === 'permission' || (removal !== null && isOver),
  };
  return KEY_ACTS.filter((act) => may[act]);
}

/** Whether a secret may still be presented. */
export function works(secret: ApiKeyDetails['secrets'][number], now: Date): boolean {
  return secret.revokedAt === null && (secret.expiresAt === null || secret.expiresAt > now);
}
