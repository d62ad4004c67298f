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

/** 429: the owner's cap on active keys. */
export function apiKeyLimitReached(cap: number): DomainError {
  return new DomainError('throttled', 'API_KEY_LIMIT_REACHED', `The owner may have ${cap} active keys and has them.`, { maxActiveKeys: cap });
}

/** 403: the key would lie outside the key policy of the caller's roles. */
export function outsidePolicy(violations: readonly FieldError[]): DomainError {
  const paths = violations.map((violation) => violation.path).join(', ');
  return new DomainError('forbidden', 'OUTSIDE_POLICY', `The key policy of your roles does not allow this: ${paths}.`, { errors: violations });
}

/** 400: roles that do not exist. */
export function unknownRoles(names: readonly string[]): DomainError {
  return validationFailed(names.map((name) => ({ path: 'roles', message: `there is no role ${name}` })));
}

/** 400: the owner does not exist. */
export function unknownOwner(): DomainError {
  return validationFailed([{ path: 'ownerId', message: 'there is no such user' }]);
}
