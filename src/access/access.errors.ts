import { DomainError } from '../common/domain-error.js';

/** 401. `presented`: credentials came and are bad, as opposed to none. */
export function unauthenticated(presented: boolean): DomainError {
  return new DomainError(
    'unauthenticated',
    'UNAUTHENTICATED',
    presented ? 'The credentials are not valid (any more).' : 'Sign in, or present a bearer token or an API key.',
    presented ? { presented: true } : {},
  );
}

/** 403 that names the missing permission. */
export function permissionDenied(permission: string): DomainError {
  return new DomainError('forbidden', 'PERMISSION_DENIED', `This needs the permission ${permission}.`, { permission });
}

/** 403: the caller would hand out, or get at, more than he holds. */
export function cannotGrant(grants: readonly string[]): DomainError {
  return new DomainError('forbidden', 'CANNOT_GRANT', `You do not hold ${grants.join(', ')} yourself.`, { grants });
}
