import { DomainError } from '../common/domain-error.js';

/** 404. */
export function roleNotFound(): DomainError {
  return new DomainError('missing', 'ROLE_NOT_FOUND', 'There is no such role.');
}

/** 409: names are unique for ever, since keys and the trail refer to roles by name. */
export function roleNameTaken(): DomainError {
  return new DomainError('conflict', 'ROLE_NAME_TAKEN', 'There is a role of this name.');
}

/** 409: `admin` grants everything and cannot be changed, so that nobody is locked out. */
export function roleImmutable(): DomainError {
  return new DomainError('conflict', 'ROLE_IMMUTABLE', 'The role admin cannot be changed or deleted.');
}

/** 409: users or keys that are not revoked carry it. */
export function roleInUse(users: number, keys: number): DomainError {
  return new DomainError('conflict', 'ROLE_IN_USE', `${users} users and ${keys} keys carry this role.`, {
    users,
    keys,
  });
}
