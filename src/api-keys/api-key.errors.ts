import { inParts, written } from '../../packages/contract/src/sentence.js';
import { DomainError, type FieldError, validationFailed } from '../common/domain-error.js';

/** 404, also for keys the caller may not know of: the same answer but for `requestId`. */
export function apiKeyNotFound(): DomainError {
  return new DomainError('missing', 'API_KEY_NOT_FOUND', 'There is no such API key.');
}

/** 400 for an id that is no UUID. */
export function invalidKeyId(): DomainError {
  return new DomainError('invalid', 'INVALID_KEY_ID', 'The id of an API key is a UUID.', {
    errors: [{ path: 'id', message: 'must be a UUID' }],
  });
}

/** 409: the owner has another key of this alias that is not revoked. */
export function aliasTaken(): DomainError {
  return new DomainError('conflict', 'ALIAS_TAKEN', 'Another key of this owner has this alias.');
}

/** 409: revoking is final; nothing but reading and deleting is left. */
export function alreadyRevoked(revokedAt: Date): DomainError {
  return new DomainError('conflict', 'ALREADY_REVOKED', 'The key has been revoked, which is final.', { revokedAt });
}

/** 409: another user than this owner deactivated the key; only that user, or the permission, can undo it. */
export function deactivatedByOther(): DomainError {
  return new DomainError(
    'conflict',
    'DEACTIVATED_BY_OTHER',
    'Another user deactivated this key. Ask an administrator to activate it.',
  );
}

/** 409: the key would have no secret left. */
export function lastSecret(): DomainError {
  return new DomainError(
    'conflict',
    'LAST_SECRET',
    'This is the last secret of the key. Regenerate it, or revoke the key.',
  );
}

/** 409: nothing is offered to the owner, neither the first secret of the key nor a later one. */
export function noHandOver(): DomainError {
  return new DomainError(
    'conflict',
    'NO_HAND_OVER',
    'No secret of this key waits to be drawn: the offer was taken up or has ended, or there was none. ' +
      'Ask for a new one (POST /api/v1/api-keys/{id}/hand-over, permission platform:api-keys:assign).',
  );
}

/** 409: the owner offers a secret to themselves. */
export function handOverToSelf(): DomainError {
  return new DomainError('conflict', 'HAND_OVER_TO_SELF', 'You own this key: regenerate it to get its next secret.');
}

/** 409: the owner cannot sign in. */
export function nobodyToDraw(): DomainError {
  return new DomainError(
    'conflict',
    'NOBODY_TO_DRAW',
    'The owner is inactive, or is a service account without a manager, so nobody can draw the secret: activate the ' +
      'owner, add a manager, or choose another owner.',
  );
}

/** 403: a caller who may read the key asked for a secret that is its owner's. */
export function onlyOwnerDraws(): DomainError {
  return new DomainError(
    'forbidden',
    'NOT_THE_OWNER',
    'Only the owner of the key, signed in, draws its secret; that of a service account, one of its managers.',
  );
}

/** 409: the key has had no secret yet, so there is nothing that a call could be decided by. */
export function noSecretYet(): DomainError {
  return new DomainError(
    'conflict',
    'NO_SECRET',
    'This key has no secret yet, so no call is made with it: its owner draws the first one.',
  );
}

/** 404: the key has no such secret, or it has ended. */
export function secretNotFound(): DomainError {
  return new DomainError('missing', 'SECRET_NOT_FOUND', 'The key has no such secret that still works.');
}

/** 403: an owner without `platform:api-keys:update` asked for more than the key allows now. */
export function ownerMayOnlyTighten(paths: readonly string[]): DomainError {
  return new DomainError(
    'forbidden',
    'OWNER_MAY_ONLY_TIGHTEN',
    `You may only narrow your key; this loosens it: ${paths.join(', ')}.`,
    {
      permission: 'platform:api-keys:update',
      errors: paths.map((path) => ({
        path,
        message: 'can only be narrowed without the permission platform:api-keys:update',
      })),
    },
  );
}

/** 403: an owner without `platform:api-keys:update` asked for a window that a caller with it has ended. */
export function expiryWasFixed(maxExpiresAt: Date): DomainError {
  const at = maxExpiresAt.toISOString();
  const detailParts = inParts`The end of this key was set to ${{ at }} by a caller with the permission platform:api-keys:update. Ask for a later one; a renewal cannot pass it.`;
  const messageParts = inParts`cannot be later than ${{ at }} without the permission platform:api-keys:update`;
  return new DomainError('forbidden', 'OWNER_MAY_ONLY_TIGHTEN', written(detailParts), {
    permission: 'platform:api-keys:update',
    detailParts,
    errors: [{ path: 'expiresAt', message: written(messageParts), messageParts }],
  });
}

/** 429: the owner's cap on active keys. */
export function apiKeyLimitReached(cap: number): DomainError {
  const sentences =
    `The owner may have ${cap} active keys and has them. ` +
    'Raise maxActiveKeys of the owner (PATCH /api/v1/users/{id}, permission platform:users:update), ' +
    'or the setting MAX_ACTIVE_KEYS.';
  return new DomainError('throttled', 'API_KEY_LIMIT_REACHED', sentences, { maxActiveKeys: cap });
}

/** 429: a user has made as many keys and secrets today as one may. */
export function creationLimitReached(limit: number, retryAfterSeconds: number): DomainError {
  const seconds = Math.max(1, Math.ceil(retryAfterSeconds));
  const sentences =
    `You have made ${limit} keys and secrets today, which is the limit (setting CREATIONS_PER_DAY): go on in ` +
    `${seconds} seconds, at 00:00 UTC.`;
  return new DomainError('throttled', 'CREATION_LIMIT_REACHED', sentences, { limit, retryAfterSeconds: seconds });
}

/** 403: the key would lie outside the key policy of the caller's roles. */
export function outsidePolicy(violations: readonly FieldError[]): DomainError {
  const paths = violations.map((violation) => violation.path).join(', ');
  return new DomainError('forbidden', 'OUTSIDE_POLICY', `The key policy of your roles does not allow this: ${paths}.`, {
    errors: violations,
  });
}

/** 400: roles that do not exist. */
export function unknownRoles(names: readonly string[]): DomainError {
  return validationFailed(names.map((name) => ({ path: 'roles', message: `there is no role ${name}` })));
}

/** 400: the owner does not exist. */
export function unknownOwner(): DomainError {
  return validationFailed([{ path: 'ownerId', message: 'there is no such user' }]);
}
